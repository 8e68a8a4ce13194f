"""Several artefacts on the same recordings: the figures, as one value that is written as JSON.

The first artefact is the reference that the others are compared with. Texts, tokens and speed come from
streaming; stages from a second pass, by `export.checks.tracer`. `export.compare.page` draws them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import msgspec

from export.checks.tracer import STAGES
from export.compare.artefacts import Decoded, Model, Run
from export.compare.differences import Difference
from export.compare.divergence import Divergence, diverge, edits
from export.compare.saturation import Saturation
from export.compare.stages import Stages, trace_models
from stream.error_rate import word_error_rate
from stream.manifest import Utterance

SCHEMA = "rill.comparison/1"

OnProgress = Callable[[str, int, int], None]  # artefact, recordings done, recordings


class Entry(msgspec.Struct, frozen=True, kw_only=True):
    """The row of one artefact. A figure is None where it is not known: of a server, of another shape.

    Attributes:
        label: a short name, unlike any other's.
        artefact: as it was named.
        description: what it is.
        wer: fraction; None: edits but no words.
        speed: seconds of audio a second (`export.compare.artefacts.Run`).
        changed_words: edits between the reference's transcripts and these.
        tokens: emitted; different_tokens: edits from the reference's.
        different: recordings that differ from the reference; moved: those that differ only in time.
        divergences: seconds into the recording of each first difference, in the manifest's order;
            "partings" in the file.
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
    divergences: list[float] = msgspec.field(default_factory=list, name="partings")
    stages: dict[str, Difference] = {}
    nodes: int | None = None
    flips: int | None = None
    saturation: list[Saturation] = []


class Transcript(msgspec.Struct, frozen=True, kw_only=True):
    """The transcript of a disputed recording by one artefact.

    Attributes:
        text: the transcript.
        tokens: (text, seconds) of each; None of a server.
        index, seconds: where it diverges from the reference (`export.compare.divergence`); None where
            it does not, or where the time is not known.
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
    """A recording whose transcripts differ.

    Attributes:
        id: as the manifest writes it.
        text: its text in the manifest; "said" in the file.
        duration: seconds.
        transcripts: of each artefact, in their order.
    """

    id: str
    text: str = msgspec.field(name="said")
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
    """One artefact before it is compared.

    Attributes:
        label, artefact, description: see `Entry`.
        run: its transcripts.
        model: the model, where it runs here.
    """

    label: str
    artefact: str
    description: str
    run: Run
    model: Model | None

    @property
    def frame_seconds(self) -> float | None:
        """The length of an encoder frame, where that is known."""
        return self.model.network.specification.encoder.frame_seconds if self.model else None


def compare(
    results: Sequence[Result],
    utterances: Sequence[Utterance],
    *,
    date: str,
    machine: str,
    manifest: str,
    progress: OnProgress | None = None,
) -> Comparison:
    """Compare artefacts with the first of them.

    Args:
        results: the artefacts; the first is the reference.
        date, machine, manifest: copied into the result.
        progress: called while stages are traced.
    """
    models, runs = [result.model for result in results], [result.run for result in results]

    def show(n: int, done: int) -> None:
        if progress:
            progress(results[n].label, done, len(utterances))

    stages = trace_models(models, runs, utterances, show)
    reference = results[0].run.decoded
    divergences = [list(map(diverge, reference, result.run.decoded)) for result in results]
    known = (result.frame_seconds for result in results if result.frame_seconds)
    frame_seconds = next(known, 0.0)  # without a model there are no frames
    return Comparison(
        date=date,
        machine=machine,
        manifest=manifest,
        recordings=len(utterances),
        seconds=round(sum(utterance.duration for utterance in utterances), 2),
        artefacts=[
            _entry(result, reference, utterances, diverging, stage, frame_seconds)
            for result, diverging, stage in zip(results, divergences, stages, strict=True)
        ],
        disagreements=_disagreements(results, utterances, divergences, frame_seconds),
    )


def _entry(
    result: Result,
    reference: Sequence[Decoded],
    utterances: Sequence[Utterance],
    divergences: Sequence[Divergence | None],
    stages: Stages,
    frame_seconds: float,
) -> Entry:
    decoded = result.run.decoded
    rate = word_error_rate([u.text for u in utterances], [each.text for each in decoded])
    counted = all(each.tokens is not None for each in (*decoded, *reference))
    differ = [divergence for divergence in divergences if divergence and not divergence.moved]
    differences = stages.differences
    found = differences.by_stage() if differences else {}
    with_logits = differences is not None and "logits" in found
    return Entry(
        label=result.label,
        artefact=result.artefact,
        description=result.description,
        wer=rate.wer if rate.words or not rate.insertions else None,
        words=rate.words,
        substitutions=rate.substitutions,
        deletions=rate.deletions,
        insertions=rate.insertions,
        speed=result.run.speed,
        changed_words=sum(
            edits(a.text.split(), b.text.split()) for a, b in zip(reference, decoded, strict=True)
        ),
        tokens=sum(len(each.tokens or ()) for each in decoded) if result.model else None,
        different_tokens=sum(each.edits for each in differ) if counted else None,
        different=len(differ),
        moved=sum(each is not None and each.moved for each in divergences),
        divergences=[
            round(each.step * frame_seconds, 2) for each in differ if each.step is not None
        ],
        stages={name: found[name] for name in STAGES if name in found},
        nodes=differences.nodes if differences and with_logits else None,
        flips=differences.flips if differences and with_logits else None,
        saturation=stages.saturation,
    )


def _disagreements(
    results: Sequence[Result],
    utterances: Sequence[Utterance],
    divergences: Sequence[Sequence[Divergence | None]],
    frame_seconds: float,
) -> list[Disagreement]:
    """Return the recordings whose transcripts are not all the same, those with most edits first."""
    found = []
    for number, utterance in enumerate(utterances):
        diverging = [each[number] for each in divergences]
        total = sum(divergence.edits for divergence in diverging if divergence)
        if not total:
            continue
        transcripts = [
            _transcript(result.run.decoded[number], divergence, frame_seconds)
            for result, divergence in zip(results, diverging, strict=True)
        ]
        disagreement = Disagreement(
            id=utterance.id,
            text=utterance.text,
            duration=utterance.duration,
            transcripts=transcripts,
        )
        found.append((-total, number, disagreement))
    return [disagreement for _, _, disagreement in sorted(found, key=lambda each: each[:2])]


def _transcript(
    decoded: Decoded, divergence: Divergence | None, frame_seconds: float
) -> Transcript:
    tokens = None
    if decoded.tokens is not None:
        tokens = [(token.text, round(token.step * frame_seconds, 2)) for token in decoded.tokens]
    if divergence is None or divergence.moved:
        return Transcript(text=decoded.text, tokens=tokens)
    step = divergence.step
    return Transcript(
        text=decoded.text,
        tokens=tokens,
        index=divergence.index,
        frame=step,
        seconds=None if step is None else round(step * frame_seconds, 2),
        edits=divergence.edits,
    )
