"""Emission latency: how long after a word ends its last token comes (NUMERICS 4.6).

The end of each word is given, by a CTM file, or found by forced alignment (`stream.engine.emission`). Only
words that were said and heard count. Forced alignment starts from the data set's statistics, and leaves out
recordings longer than `LONGEST`, whose lattice would be too large, and texts that the tokenizer cannot spell.
"""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePath
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from stream.backends import Backend
from stream.ctm import TimedWord
from stream.engine.emission import word_latencies
from stream.engine.forced_alignment import forced_steps
from stream.front_end.log_mel import streamed_log_mel
from stream.front_end.stacking import stack
from stream.model.network import Network
from stream.model.specification import DecoderKind
from stream.stage import whole
from stream.vocabulary import texts_of
from stream.words import emission_latencies, group, percentile

LONGEST = 60.0  # seconds


@dataclass(frozen=True)
class Latency:
    """Emission latencies of words, milliseconds; negative before the end of a word.

    Attributes:
        words: that were measured.
        ends: where the ends of words are from.
        mean_ms, p50_ms, p90_ms, p99_ms: of the words.
    """

    words: int
    ends: Literal["alignment", "ctm"]
    mean_ms: float
    p50_ms: float
    p90_ms: float
    p99_ms: float


def latency_of(seconds: Iterable[float], ends: Literal["alignment", "ctm"]) -> Latency | None:
    """Return what latencies amount to, None where there are none."""
    found = [1000.0 * latency for latency in seconds]
    if not found:
        return None
    rates = (percentile(found, percent) for percent in (50, 90, 99))
    return Latency(len(found), ends, statistics.fmean(found), *rates)


def aligned_latencies(
    network: Network,
    backend: Backend,
    samples: NDArray[np.float32],
    text: str,
    emitted: Sequence[tuple[int, int]],
    decoder: DecoderKind | None = None,
) -> list[float]:
    """Return the latencies of an utterance's words by forced alignment, seconds.

    Args:
        network: the model.
        backend: computes it.
        samples: (n,) float32 at 16 kHz.
        text: that is said.
        emitted: tokens that were heard, as (id, step).
        decoder: of the model; None: its first.
    """
    spec = network.specification
    tokens = network.vocabulary.encode(text)
    if not tokens or network.vocabulary.unknown(text):
        return []
    log_mel = streamed_log_mel(samples[None], spec.front_end)
    z = whole(network.normaliser, log_mel)
    if not z.shape[1]:
        return []
    encoder = spec.encoder
    padded = np.pad(z, ((0, 0), (0, -z.shape[1] % (encoder.stack * encoder.chunk_inputs)), (0, 0)))
    state, _ = backend.initial_state(1)
    f, _ = backend.encode(stack(padded, encoder.stack), state)
    try:
        steps = forced_steps(backend, f[0], tokens, decoder)
    except ValueError:  # more tokens than CTC has frames
        return []
    reference = list(zip(tokens, steps, strict=True))
    return word_latencies(spec, network.vocabulary, log_mel[0].max(-1), reference, emitted)


def timed_latencies(
    network: Network, said: Sequence[TimedWord], emitted: Sequence[tuple[int, int]]
) -> list[float]:
    """Return the latencies of an utterance's words whose ends are given, seconds."""
    heard, _ = texts_of((token for token, _ in emitted), network.vocabulary.texts)
    seconds = network.specification.encoder.frame_seconds
    words = group(heard, [step for _, step in emitted])
    ends = [(word.text, seconds * (word.last + 1)) for word in words]
    return emission_latencies(said, ends, seconds)


def words_of(times: Mapping[str, tuple[TimedWord, ...]], name: str) -> tuple[TimedWord, ...] | None:
    """Return the words that a CTM file gives for a recording, by its name, file name or stem."""
    path = PurePath(name)
    return next((times[key] for key in (name, path.name, path.stem) if key in times), None)
