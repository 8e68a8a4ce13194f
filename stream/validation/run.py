"""Validation: stream utterances through a model and count errors; compare with the training forward.

Every utterance runs through the engine in chunks, as a channel would: from the data set's statistics,
or with the statistics that the utterance before it left, as on a channel that stays open.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import TypeAlias

import msgspec

from stream.backends import computed_by, default_backend, load_backend
from stream.ctm import TimedWord
from stream.decoding.decoding import Decoding, Search
from stream.engine.alignment import word_spans
from stream.engine.engine import Engine, Result
from stream.engine.front_end import FrontEndKind
from stream.engine.streams import Progress, Streams
from stream.errors import ArgumentError
from stream.front_end.log_mel import SAMPLE_RATE
from stream.model.network import Network
from stream.stage import Floats
from stream.validation.latency import Latencies
from stream.validation.report import Difference, Outcome, Report, report_of
from stream.validation.spoken import Spoken

COMPARED_AT_ONCE = 256  # utterances whose audio is in memory
SLOTS = 16  # utterances streamed side by side where they are independent


# (network, recordings) -> of each its tokens as (id, step): `train.evaluation.training_tokens`.
Reference: TypeAlias = Callable[[Network, Sequence[Floats]], list[list[tuple[int, int]]]]


def validate(
    network: Network,
    utterances: Sequence[Spoken],
    *,
    backend: str | None = None,
    reset_stats: bool = False,
    alpha: float | None = None,
    final_padding: int | None = None,
    piece_ms: float | None = None,
    decoding: Decoding | Search | None = None,
    front_end: FrontEndKind = "float",
    reference: Reference | None = None,
    scored: bool = True,
    form: Callable[[str], str] = str,
    word_ends: Mapping[str, tuple[TimedWord, ...]] | None = None,
    align: bool = False,
    progress: Progress | None = None,
) -> Report:
    """Stream utterances and score them.

    Args:
        network: the model, with its chunks of the length in question (`Network.with_chunk`).
        utterances: of a manifest.
        backend: its name; None: `default_backend`.
        reset_stats: whether every utterance starts from the data set's statistics.
        alpha: overrides the model's weight of a new frame in the statistics.
        final_padding: overrides the zeros that are computed after each recording, samples.
        piece_ms: audio handed in at once, on which no result depends; None: a chunk of the model.
        decoding: greedy or beam search, and what goes with it; None: greedy, as the model is decoded.
        front_end: the model's in float, or the same in fixed point.
        reference: the training forward, in floats or integers as the backend, to compare every token
            with; requires `reset_stats` and greedy decoding.
        scored: whether the texts are what was said; else no errors are counted.
        form: brings a text to the form in which it is scored.
        word_ends: words and their ends, by the name of a recording, for emission latencies.
        align: whether latencies of other recordings are measured by forced alignment.
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
    if piece_ms is None:
        piece_ms = network.specification.encoder.chunk_length
    if not 1 <= piece_ms * SAMPLE_RATE / 1000 < float("inf"):
        raise ArgumentError(f"pieces of {piece_ms} ms: want at least a sample, 0.0625 ms")
    given = {"alpha": alpha, "final_padding": final_padding}
    overrides = {name: value for name, value in given.items() if value is not None}
    specification = msgspec.structs.replace(network.specification, **overrides)
    network = replace(network, specification=specification)
    slots = min(SLOTS if reset_stats else 1, max(len(utterances), 1))
    backend = backend or default_backend(network)
    computed = load_backend(backend, network)
    engine = Engine(network, computed, slots, decoding, front_end)
    stream = Streams(engine, lambda slot: engine.restart(slot, keep_statistics=not reset_stats))
    piece = int(piece_ms * SAMPLE_RATE / 1000)
    seconds = [0.0] * len(utterances)
    results = stream.run(
        [functools.partial(_read, u, seconds, i) for i, u in enumerate(utterances)], piece, progress
    )
    outcomes = [
        _outcome(network, utterance, of, length)
        for utterance, of, length in zip(utterances, results, seconds, strict=True)
    ]
    trained = computed_by(backend, network)
    latency = None
    if align or word_ends is not None:
        head = None if decoding is None else Decoding.of(decoding).head
        latencies = Latencies(network, computed, head, word_ends or {}, align)
        for utterance, outcome in zip(utterances, outcomes, strict=True):
            emitted = list(zip(outcome.tokens, outcome.steps, strict=True))
            latencies.add(utterance, emitted, outcome.seconds)
        latency = latencies.of_all()
    return report_of(
        outcomes,
        stream.seconds / max(stream.audio_seconds, 1e-9),
        scored=scored,
        form=form,
        latency=latency,
        differences=_compare(reference, trained, utterances, results) if reference else (),
    )


def _read(utterance: Spoken, seconds: list[float], place: int) -> Floats:
    samples = utterance.read()
    seconds[place] = len(samples) / SAMPLE_RATE
    return samples


def _outcome(
    network: Network, utterance: Spoken, results: Sequence[Result], seconds: float
) -> Outcome:
    tokens = [token for result in results for token in result.tokens]
    spans = [span for result in results for span in result.spans]
    texts = [text for result in results for text in result.texts]
    return Outcome(
        utterance.id,
        utterance.text,
        "".join(result.text for result in results).strip(),
        [token.id for token in tokens],
        [token.step for token in tokens],
        word_spans(texts, spans),
        utterance.corpus,
        seconds,
    )


def _compare(
    reference: Reference,
    network: Network,
    utterances: Sequence[Spoken],
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
