"""Several artefacts on the same recordings: the figures, as one value that is written as JSON.

The first artefact is the reference that the others are held against. Texts, tokens and speed come from
streaming; stages from a second pass, by `export.compare.stages`. Drawing is `export.compare.page`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import msgspec

from export.compare.artefacts import Heard, Model, Said
from export.compare.bounds import Saturation
from export.compare.divergence import Parting, edits, part
from export.compare.stages import STAGES, STEP_SECONDS, Apart, Difference, Tracer
from stream.backends import load_backend
from stream.error_rate import word_error_rate
from stream.manifest import Utterance

__all__ = [
    "SCHEMA",
    "Comparison",
    "Disagreement",
    "Entry",
    "Result",
    "Transcript",
    "compare",
    "traced",
]

SCHEMA = "rill.comparison/1"
ROWS = 16  # recordings traced side by side

OnProgress = Callable[[str, int, int], None]  # artefact, recordings done, recordings


class Entry(msgspec.Struct, frozen=True, kw_only=True):
    """One artefact's row. Missing figures, None, could not be known: of a server, of another shape.

    Attributes:
        label: a short name, unlike any other's.
        artefact: as it was named.
        description: what it is.
        wer: fraction; None: edits but no words.
        speed: seconds of audio a second (`export.compare.artefacts.Heard`).
        changed_words: edits between the reference's transcripts and these.
        tokens: emitted; different_tokens: edits from the reference's.
        different: recordings that part from the reference; moved: only in time.
        partings: seconds into the recording of each first difference, in the manifest's order.
        stages: difference from the reference by stage; those that can be compared.
        nodes, flips: of the reference's path, and nodes where the best class is another one.
        saturation: of each LSTM layer.
    """

    label: str
    artefact: str
    description: str
    wer: float | None
    words: int
    substitutions: int
    deletions: int
    insertions: int
    speed: float
    changed_words: int
    tokens: int | None = None
    different_tokens: int | None = None
    different: int = 0
    moved: int = 0
    partings: list[float] = []
    stages: dict[str, Difference] = {}
    nodes: int | None = None
    flips: int | None = None
    saturation: list[Saturation] = []


class Transcript(msgspec.Struct, frozen=True, kw_only=True):
    """What one artefact said of a recording that is disputed.

    Attributes:
        text: the transcript.
        tokens: (text, seconds) of each; None of a server.
        index, seconds: where it parts from the reference, see `export.compare.divergence`; None where it
            does not, or where the time is not known.
        frame: the same as an encoder frame.
        edits: tokens, or words, that differ from the reference's.
    """

    text: str
    tokens: list[tuple[str, float]] | None
    index: int | None = None
    frame: int | None = None
    seconds: float | None = None
    edits: int = 0


class Disagreement(msgspec.Struct, frozen=True, kw_only=True):
    """A recording of which artefacts say different things.

    Attributes:
        id: as the manifest writes it; said: its text there; duration: seconds.
        transcripts: of each artefact, in their order.
    """

    id: str
    said: str
    duration: float
    transcripts: list[Transcript]


class Comparison(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that a comparison found."""

    schema: str = SCHEMA
    date: str
    machine: str
    manifest: str
    recordings: int
    seconds: float
    artefacts: list[Entry]
    disagreements: list[Disagreement]


@dataclass(frozen=True)
class Result:
    """What is known of an artefact before it is compared.

    Attributes:
        label, artefact, description: see `Entry`.
        heard: what it said.
        model: where it is one that runs here.
    """

    label: str
    artefact: str
    description: str
    heard: Heard
    model: Model | None


@dataclass(frozen=True)
class _Stages:
    apart: Apart | None
    saturation: list[Saturation]


def compare(
    results: Sequence[Result],
    utterances: Sequence[Utterance],
    *,
    date: str,
    machine: str,
    manifest: str,
    progress: OnProgress | None = None,
) -> Comparison:
    """Hold artefacts against the first of them.

    Args:
        results: what each said; the first is the reference.
        utterances: the recordings.
        date, machine, manifest: are carried over.
        progress: called while stages are traced.
    """
    stages = traced(results, utterances, progress)
    reference = results[0].heard.said
    partings = [list(map(part, reference, result.heard.said)) for result in results]
    return Comparison(
        date=date,
        machine=machine,
        manifest=manifest,
        recordings=len(utterances),
        seconds=round(sum(utterance.duration for utterance in utterances), 2),
        artefacts=[
            _entry(result, reference, utterances, parted, stage)
            for result, parted, stage in zip(results, partings, stages, strict=True)
        ],
        disagreements=_disagreements(results, utterances, partings),
    )


def traced(
    results: Sequence[Result], utterances: Sequence[Utterance], progress: OnProgress | None = None
) -> list[_Stages]:
    """Run all models through their stages, along the path of the first if that is one."""
    tracers = [
        Tracer(result.model.network, load_backend(result.model.backend, result.model.network))
        if result.model
        else None
        for result in results
    ]
    first = tracers[0]
    aparts = [Apart() if first and tracer else None for tracer in tracers]
    order = sorted(range(len(utterances)), key=lambda i: utterances[i].duration)
    for begin in range(0, len(order), ROWS):
        block = order[begin : begin + ROWS]
        audio = [utterances[i].read() for i in block]
        names = [utterances[i].id for i in block]
        reference = None
        for result, tracer, apart in zip(results, tracers, aparts, strict=True):
            if tracer is None:
                continue
            # A server's path is not known, and another vocabulary's has other tokens: then its own.
            shared = first is not None and (
                tracer.network.vocabulary.pieces == first.network.vocabulary.pieces
            )
            heard = (results[0] if shared else result).heard
            rows = tracer.trace(audio, [_path(heard.said[i]) for i in block])
            reference = reference or rows
            if apart is not None:
                if not shared:
                    for row in rows:
                        row.stages.pop("prediction")
                        row.stages.pop("logits")
                apart.add(reference, rows, names)
            if progress:
                progress(result.label, begin + len(block), len(order))
    return [
        _Stages(apart, tracer.saturation() if tracer else [])
        for apart, tracer in zip(aparts, tracers, strict=True)
    ]


def _path(said: Said) -> list[tuple[int, int]]:
    return [(id_, token.step) for id_, token in zip(said.ids, said.tokens or (), strict=True)]


def _entry(
    result: Result,
    reference: Sequence[Said],
    utterances: Sequence[Utterance],
    partings: Sequence[Parting | None],
    stages: _Stages,
) -> Entry:
    said = result.heard.said
    rate = word_error_rate([u.text for u in utterances], [each.text for each in said])
    counted = all(each.tokens is not None for each in (*said, *reference))
    differ = [parting for parting in partings if parting and not parting.moved]
    apart = stages.apart
    found = apart.differences() if apart else {}
    with_logits = apart is not None and "logits" in found
    return Entry(
        label=result.label,
        artefact=result.artefact,
        description=result.description,
        wer=rate.wer if rate.words or not rate.insertions else None,
        words=rate.words,
        substitutions=rate.substitutions,
        deletions=rate.deletions,
        insertions=rate.insertions,
        speed=result.heard.speed,
        changed_words=sum(
            edits(a.text.split(), b.text.split()) for a, b in zip(reference, said, strict=True)
        ),
        tokens=sum(len(each.tokens or ()) for each in said) if result.model else None,
        different_tokens=sum(parting.edits for parting in differ) if counted else None,
        different=len(differ),
        moved=sum(parting is not None and parting.moved for parting in partings),
        partings=[_seconds(parting.step) for parting in differ if parting.step is not None],
        stages={name: found[name] for name in STAGES if name in found},
        nodes=apart.nodes if apart and with_logits else None,
        flips=apart.flips if apart and with_logits else None,
        saturation=stages.saturation,
    )


def _disagreements(
    results: Sequence[Result],
    utterances: Sequence[Utterance],
    partings: Sequence[Sequence[Parting | None]],
) -> list[Disagreement]:
    """Return the recordings of which not all say the same, those with most edits first."""
    found = []
    for number, utterance in enumerate(utterances):
        parted = [each[number] for each in partings]
        total = sum(parting.edits for parting in parted if parting)
        if not total:
            continue
        transcripts = [
            _transcript(result.heard.said[number], parting)
            for result, parting in zip(results, parted, strict=True)
        ]
        disagreement = Disagreement(
            id=utterance.id,
            said=utterance.text,
            duration=utterance.duration,
            transcripts=transcripts,
        )
        found.append((-total, number, disagreement))
    return [disagreement for _, _, disagreement in sorted(found, key=lambda each: each[:2])]


def _transcript(said: Said, parting: Parting | None) -> Transcript:
    tokens = None if said.tokens is None else [(t.text, _seconds(t.step)) for t in said.tokens]
    if parting is None or parting.moved:
        return Transcript(text=said.text, tokens=tokens)
    return Transcript(
        text=said.text,
        tokens=tokens,
        index=parting.index,
        frame=parting.step,
        seconds=None if parting.step is None else _seconds(parting.step),
        edits=parting.edits,
    )


def _seconds(step: int) -> float:
    return round(step * STEP_SECONDS, 2)
