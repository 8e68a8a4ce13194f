"""Validation: stream utterances through a model and count errors; compare with the training forward.

Every utterance runs through the engine in chunks, as a channel would: from the data set's statistics,
or with the statistics that the utterance before it left, as on a channel that stays open.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import TypeAlias

import msgspec
import numpy as np
from numpy.typing import NDArray

from stream.backends import computed_by, default_backend, load_backend
from stream.decoding.decoding import Decoding, Search
from stream.engine.alignment import Span, word_spans
from stream.engine.engine import Engine, Result
from stream.engine.front_end import FrontEndKind
from stream.engine.streams import Progress, Streams
from stream.error_rate import character_error_rate, word_error_rate
from stream.errors import ArgumentError
from stream.front_end.log_mel import SAMPLE_RATE
from stream.manifest import Utterance
from stream.model.network import Network

__all__ = [
    "Difference",
    "Outcome",
    "Reference",
    "Report",
    "validate",
]

COMPARED_AT_ONCE = 256  # utterances whose audio is in memory
SLOTS = 16  # utterances streamed side by side where they are independent


@dataclass(frozen=True)
class Outcome:
    """One utterance.

    Attributes:
        id: of the utterance.
        reference, hypothesis: what was said, and what was heard.
        tokens, steps: ids of the tokens heard, and the encoder frame of each.
        times: when each word of the hypothesis sounds, seconds.
    """

    id: str
    reference: str
    hypothesis: str
    tokens: list[int]
    steps: list[int]
    times: list[Span]


@dataclass(frozen=True)
class Difference:
    """Where streaming and the training forward part.

    Attributes:
        id: of the utterance.
        index: of the first token that differs.
        step: encoder frame of the earlier of the two tokens there.
        streamed, trained: (token, step) of each, or None past its last token.
    """

    id: str
    index: int
    step: int
    streamed: tuple[int, int] | None
    trained: tuple[int, int] | None


@dataclass(frozen=True)
class Report:
    """What a validation found; `wer`, `cer` and `rtf` are fractions, see `stream.error_rate`.

    The edits and `words` are those of the word error rate. RTF counts front end, network and decoder, not the
    decoding of audio files.
    """

    wer: float
    substitutions: int
    deletions: int
    insertions: int
    words: int
    cer: float
    rtf: float
    utterances: list[Outcome]
    differences: list[Difference] = field(default_factory=list)

    @property
    def different(self) -> int:
        """Utterances whose tokens differ from the training forward's."""
        return len(self.differences)


# (network, recordings) -> of each its tokens as (id, step): `train.evaluation.training_tokens`.
Reference: TypeAlias = Callable[
    [Network, Sequence[NDArray[np.float32]]], list[list[tuple[int, int]]]
]


def validate(
    network: Network,
    utterances: Sequence[Utterance],
    *,
    backend: str | None = None,
    reset_stats: bool = False,
    alpha: float | None = None,
    chunk_ms: float | None = None,
    decoding: Decoding | Search | None = None,
    front_end: FrontEndKind = "float",
    reference: Reference | None = None,
    form: Callable[[str], str] = str,
    progress: Progress | None = None,
) -> Report:
    """Stream utterances and score them.

    Args:
        network: the model.
        utterances: of a manifest.
        backend: its name; None: `default_backend`.
        reset_stats: whether every utterance starts from the data set's statistics.
        alpha: overrides the model's weight of a new frame in the statistics.
        chunk_ms: audio handed in at once, on which no result depends; None: a chunk of the model.
        decoding: greedy or beam search, and what goes with it; None: greedy.
        front_end: the model's in float, or the same in fixed point.
        reference: the training forward, in floats or integers as the backend, to hold every token
            against; requires `reset_stats` and greedy decoding.
        form: brings a text to the form in which it is scored.
        progress: called with (utterances done, utterances).
    Raises:
        ArgumentError: the arguments contradict each other.
        AudioError: a recording cannot be decoded.
    """
    if reference and not reset_stats:
        raise ArgumentError(
            "the training forward starts every utterance from the data set's statistics: "
            "--compare-full wants --reset-stats"
        )
    if chunk_ms is None:
        chunk_ms = 1000 * network.specification.encoder.chunk_seconds
    if not 1 <= chunk_ms * SAMPLE_RATE / 1000 < float("inf"):
        raise ArgumentError(f"a chunk of {chunk_ms} ms: wants at least a sample, 0.0625 ms")
    if alpha is not None:
        specification = msgspec.structs.replace(network.specification, alpha=alpha)
        network = replace(network, specification=specification)
    slots = min(SLOTS if reset_stats else 1, max(len(utterances), 1))
    backend = backend or default_backend(network)
    computed = load_backend(backend, network)
    engine = Engine(network, computed, slots, decoding, front_end)
    stream = Streams(engine, lambda slot: engine.restart(slot, keep_statistics=not reset_stats))
    chunk = int(chunk_ms * SAMPLE_RATE / 1000)
    results = stream.run([u.read for u in utterances], chunk, progress)
    outcomes = [
        _outcome(network, utterance, of) for utterance, of in zip(utterances, results, strict=True)
    ]
    said, heard = [form(o.reference) for o in outcomes], [form(o.hypothesis) for o in outcomes]
    rate = word_error_rate(said, heard)
    trained = computed_by(backend, network)
    differences = _compare(reference, trained, utterances, results) if reference else []
    return Report(
        rate.wer,
        rate.substitutions,
        rate.deletions,
        rate.insertions,
        rate.words,
        character_error_rate(said, heard).wer,
        stream.seconds / max(stream.audio_seconds, 1e-9),
        outcomes,
        differences,
    )


def _outcome(network: Network, utterance: Utterance, results: Sequence[Result]) -> Outcome:
    tokens = [token for result in results for token in result.tokens]
    spans = [span for result in results for span in result.spans]
    return Outcome(
        utterance.id,
        utterance.text,
        "".join(result.text for result in results).strip(),
        [token.id for token in tokens],
        [token.step for token in tokens],
        word_spans([network.vocabulary.text(token.id) for token in tokens], spans),
    )


def _compare(
    reference: Reference,
    network: Network,
    utterances: Sequence[Utterance],
    results: Sequence[Sequence[Result]],
) -> list[Difference]:
    """Compare streamed tokens with the training forward's, utterance by utterance."""
    differences = []
    for begin in range(0, len(utterances), COMPARED_AT_ONCE):
        block = slice(begin, begin + COMPARED_AT_ONCE)
        trained = reference(network, [u.read() for u in utterances[block]])
        for utterance, of, want in zip(utterances[block], results[block], trained, strict=True):
            got = [(token.id, token.step) for result in of for token in result.tokens]
            if got != want:
                differences.append(_first_difference(utterance.id, got, want))
    return differences


def _first_difference(
    name: str, got: list[tuple[int, int]], want: list[tuple[int, int]]
) -> Difference:
    index = next(i for i in range(max(len(got), len(want))) if got[i : i + 1] != want[i : i + 1])
    pair = [tokens[index] if index < len(tokens) else None for tokens in (got, want)]
    step = min(token[1] for token in pair if token is not None)
    return Difference(name, index, step, pair[0], pair[1])
