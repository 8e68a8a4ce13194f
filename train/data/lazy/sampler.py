"""Which utterances a batch holds: a function of the seed and the batch's number, and of nothing else.

1. Utterances are divided into buckets of similar duration; a batch comes from one, so it pads little. In
   every bucket a batch has as many rows as fit into `seconds` of padded audio.
2. An epoch is a keyed permutation of the batches of all buckets, and each bucket's utterances are
   permuted in it: every utterance comes once, in an order that no other epoch has.
3. A data set of weight w comes w times per epoch: twice, or every second epoch another half of it. Each
   of its passes is a permutation of its own.
4. Batch n of the run is the n-th of epoch 0, 1, 2 and so on. Ranks and the parts of an accumulated update
   take numbers in turn (`number_of`), so they never share one, and two ranks together see the same batches
   as one process that accumulates two parts.

So a run resumes at any update without a state, and any number of workers makes the same batches.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from train.data.lazy.index import Index
from train.data.lazy.permutation import key_of, permuted

__all__ = ["Sampler", "number_of"]

RATIO = 1.1  # of the longest to the shortest utterance of a bucket, where there are enough of them
WIDEST = 1.5
FULL_BATCHES = 4  # that a bucket should have
SILENCE_SECONDS = 0.5  # that a row may have besides its utterance
Numbers = NDArray[np.int64]


def number_of(update: int, rank: int = 0, ranks: int = 1, part: int = 0, parts: int = 1) -> int:
    """Return the number of a batch: of an update from 0, a rank, and a part of the update (rule 4)."""
    return (update * parts + part) * ranks + rank


@dataclass(frozen=True)
class _Bucket:
    """Utterances of similar duration.

    Attributes:
        low: (sources,) where they begin in each source's order.
        size: (sources,) how many there are.
        draws: (sources,) how many of them come in an epoch.
        batches: in an epoch.
    """

    low: Numbers
    size: Numbers
    draws: Numbers
    batches: int


class Sampler:
    """Batches of utterances by number.

    Args:
        indexes: of the data sets.
        weights: how often an utterance of each comes in an epoch.
        seconds: padded audio in a batch, about.
        seed: of the order.
        min_seconds, max_seconds: of the utterances that are taken.

    Attributes:
        epoch: batches in one.
        utterances: drawn in an epoch.

    Raises:
        ValueError: no utterance is left.
    """

    def __init__(
        self,
        indexes: Sequence[Index],
        weights: Sequence[float],
        seconds: float,
        seed: int,
        min_seconds: float = 0.0,
        max_seconds: float = float("inf"),
    ) -> None:
        self.indexes, self.seed = list(indexes), seed
        self._buckets = _divide(indexes, weights, seconds, min_seconds, max_seconds)
        if not self._buckets:
            raise ValueError(
                f"no utterance of {min_seconds:g} to {max_seconds:g} s is in "
                + ", ".join(index.about.source for index in indexes)
            )
        self._ends = np.cumsum([bucket.batches for bucket in self._buckets])
        self.epoch = int(self._ends[-1])
        self.utterances = sum(int(bucket.draws.sum()) for bucket in self._buckets)

    def batch(self, number: int) -> list[tuple[int, int]]:
        """Return (source, utterance) for each row of a batch."""
        # Which batch of the epoch, and of which bucket (rule 2).
        epoch, place = divmod(number, self.epoch)
        there = np.array([place], np.int64)
        place = int(permuted(there, self.epoch, key_of(self.seed, epoch))[0])
        which = int(np.searchsorted(self._ends, place, "right"))
        bucket = self._buckets[which]
        slot = place - int(self._ends[which]) + bucket.batches
        # Which draws of the bucket's, and of which data sets.
        draws = int(bucket.draws.sum())
        first, last = (draws * n // bucket.batches for n in (slot, slot + 1))
        drawn = permuted(np.arange(first, last), draws, key_of(self.seed, epoch, which))
        ends = np.cumsum(bucket.draws)
        sources = np.searchsorted(ends, drawn, "right")
        # Where these stand in the passes through each data set (rule 3).
        of_source = drawn - (ends - bucket.draws)[sources]
        since_start = of_source + epoch * bucket.draws[sources]
        passes, places = np.divmod(since_start, bucket.size[sources])
        found = np.empty(len(drawn), np.int64)
        for source, of_pass in set(zip(sources.tolist(), passes.tolist(), strict=True)):
            rows = (sources == source) & (passes == of_pass)
            key = key_of(self.seed, which, source, of_pass)
            inside = permuted(places[rows], int(bucket.size[source]), key)
            found[rows] = self.indexes[source].order[bucket.low[source] + inside]
        return list(zip(sources.tolist(), found.tolist(), strict=True))


def _divide(
    indexes: Sequence[Index],
    weights: Sequence[float],
    seconds: float,
    min_seconds: float,
    max_seconds: float,
) -> list[_Bucket]:
    """Divide the utterances of all indexes into buckets, from short ones to long ones (rule 1)."""
    begin = _places(indexes, min_seconds, "left")
    end = _places(indexes, max_seconds, "right")
    if not (begin < end).any():
        return []
    filled = [(index, a, b) for index, a, b in zip(indexes, begin, end, strict=True) if a < b]
    shortest = min(float(index.durations[a]) for index, a, _ in filled)
    longest = max(float(index.durations[b - 1]) for index, _, b in filled)
    buckets, low, bottom, edge = [], begin, shortest, shortest
    while (low < end).any():
        edge = min(edge * RATIO, longest)
        high = np.minimum(_places(indexes, edge, "right"), end)
        size = high - low
        draws = np.where(size > 0, np.maximum(np.rint(size * np.asarray(weights)), 1), 0)
        rows = max(1, int(seconds / (edge + SILENCE_SECONDS)))
        last = edge >= longest
        if draws.sum() and (draws.sum() >= FULL_BATCHES * rows or edge >= WIDEST * bottom or last):
            draws = draws.astype(np.int64)
            buckets.append(_Bucket(low, size, draws, -(-int(draws.sum()) // rows)))
            low, bottom = high, edge
        elif not draws.sum():
            bottom = edge
    return buckets


def _places(indexes: Sequence[Index], seconds: float, side: str) -> Numbers:
    """Return how many utterances of each index are shorter than that, or as short (side "right")."""
    edge = np.float32(seconds)
    return np.array(
        [np.searchsorted(i.durations, edge, side) for i in indexes],  # type: ignore[call-overload]
        np.int64,
    )
