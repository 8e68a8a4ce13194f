"""Emission latency: how long after a word ends its last token comes (NUMERICS 4.6).

A token comes with the end of its chunk, so waiting for the rest of a long chunk counts. As in NUMERICS, half an
encoder frame is no latency.

The end of each word is given, by the data set or a CTM file, or found by forced alignment
(`stream.engine.emission`). Only words that were said and heard count. Forced alignment starts from the data set's
statistics, and leaves out recordings longer than `LONGEST`, whose lattice would be too large, and texts that the
tokenizer cannot spell.
"""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from stream.backends import Backend
from stream.ctm import TimedWord, words_of
from stream.engine.emission import word_latencies
from stream.engine.forced_alignment import forced_steps_of
from stream.model.network import Network
from stream.model.specification import Head
from stream.validation.spoken import Spoken
from stream.vocabulary import texts_of
from stream.words import emission_latencies, group, percentile

LONGEST = 60.0  # seconds


@dataclass(frozen=True)
class Latency:
    """Emission latencies of words, milliseconds; negative before the end of a word.

    Attributes:
        words: that were measured.
        given: those of them whose ends were given.
        mean_ms, p50_ms, p90_ms, p99_ms: of the words.
    """

    words: int
    given: int
    mean_ms: float
    p50_ms: float
    p90_ms: float
    p99_ms: float


def latency_of(given: Iterable[float], aligned: Iterable[float] = ()) -> Latency | None:
    """Return what latencies in seconds amount to, None where there are none.

    Args:
        given: of words whose ends were given; aligned: of those whose ends were found.
    """
    of_given = [1000.0 * latency for latency in given]
    found = of_given + [1000.0 * latency for latency in aligned]
    if not found:
        return None
    rates = (percentile(found, percent) for percent in (50, 90, 99))
    return Latency(len(found), len(of_given), statistics.fmean(found), *rates)


class Latencies:
    """Collects the emission latencies of words, recording by recording.

    Args:
        network: the model.
        backend: computes it.
        head: of the model; None: its first.
        word_ends: words and their ends, by the name of a recording.
        align: whether other recordings are aligned.
    """

    def __init__(
        self,
        network: Network,
        backend: Backend,
        head: Head | None,
        word_ends: Mapping[str, tuple[TimedWord, ...]],
        align: bool,
    ) -> None:
        self._network, self._backend, self._head = network, backend, head
        self._word_ends, self._align = word_ends, align
        self._given: list[float] = []
        self._aligned: list[float] = []

    def add(self, spoken: Spoken, emitted: Sequence[tuple[int, int]], seconds: float) -> None:
        """Measure the words of a recording.

        Args:
            emitted: tokens that were heard, as (id, step).
            seconds: of audio.
        """
        if (words := words_of(self._word_ends, spoken.id)) is not None:
            self._given += self._behind(words, emitted)
        elif self._align and seconds <= LONGEST:
            self._aligned += self._behind_alignment(spoken, emitted)

    def of_all(self) -> Latency | None:
        """Return what was measured so far, None: nothing."""
        return latency_of(self._given, self._aligned)

    def _behind(self, said: Sequence[TimedWord], emitted: Sequence[tuple[int, int]]) -> list[float]:
        heard, _ = texts_of((token for token, _ in emitted), self._network.vocabulary.texts)
        encoder = self._network.specification.encoder
        words = group(heard, [step for _, step in emitted])
        ends = [(w.text, encoder.frame_seconds * encoder.chunk_end(w.last)) for w in words]
        return emission_latencies(said, ends, encoder.frame_seconds)

    def _behind_alignment(self, spoken: Spoken, emitted: Sequence[tuple[int, int]]) -> list[float]:
        spec, vocabulary = self._network.specification, self._network.vocabulary
        tokens = vocabulary.encode(spoken.text)
        if not tokens or vocabulary.unknown(spoken.text):
            return []
        samples = spoken.read()  # not below: what is wrong with a recording is a ValueError, too
        try:
            steps, levels = forced_steps_of(
                self._network, self._backend, samples, tokens, self._head
            )
        except ValueError:  # no encoder frame, or more tokens than CTC has frames
            return []
        reference = list(zip(tokens, steps, strict=True))
        return word_latencies(spec, vocabulary, levels, reference, emitted)
