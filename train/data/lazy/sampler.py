"""Which utterances a batch holds: a function of the seed and the batch's number alone.

1. Utterances are divided into buckets of similar duration; a batch comes from one, so it pads little. In
   every bucket a batch has as many rows as fit into `seconds` of padded audio.
2. An epoch is a keyed permutation of the batches of all buckets, and each bucket's utterances are
   permuted in it: every utterance comes once, in an order that no other epoch has.
3. A corpus of weight w comes w times per epoch: twice, or every second epoch another half of it. Each
   of its passes is a permutation of its own. Corpora are told by their data set and by their name in it.
4. Batch n of the run is the n-th of epoch 0, 1, 2 and so on.

So a run resumes at any update without a state, and any number of workers makes the same batches.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from train.data.lazy.index import Index
from train.data.lazy.permutation import key_of, permuted
from train.data.rows import Place

RATIO = 1.1  # of the longest to the shortest utterance of a bucket, where there are enough of them
WIDEST = 1.5
FULL_BATCHES = 4  # that a bucket should have
SILENCE_SECONDS = 0.5  # that a row may have besides its utterance
Numbers = NDArray[np.int64]


@dataclass(frozen=True)
class _Corpus:
    """One corpus of a data set: those utterances of it that are taken.

    Attributes:
        source: number of the data set.
        low, high: where they stand in the order of its index.
        weight: how often one comes in an epoch.
    """

    source: int
    low: int
    high: int
    weight: float


@dataclass(frozen=True)
class _Bucket:
    """Utterances of similar duration.

    Attributes:
        low: (corpora,) where they begin in the order of each corpus's index.
        size: (corpora,) how many there are.
        draws: (corpora,) how many of them come in an epoch.
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
        by_name: weights of corpora by their names, besides that of their data set.

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
        by_name: Mapping[str, float] = MappingProxyType({}),
    ) -> None:
        self.indexes, self.seed = list(indexes), seed
        self._corpora = _corpora(indexes, weights, min_seconds, max_seconds, by_name)
        self._buckets = _divide(indexes, self._corpora, seconds)
        if not self._buckets:
            raise ValueError(
                f"no utterance of {min_seconds:g} to {max_seconds:g} s is in "
                + ", ".join(index.about.source for index in indexes)
            )
        self._ends = np.cumsum([bucket.batches for bucket in self._buckets])
        self.epoch = int(self._ends[-1])
        self.utterances = sum(int(bucket.draws.sum()) for bucket in self._buckets)
        drawn = np.cumsum([(each.high - each.low) * each.weight for each in self._corpora])
        self._cumulative = drawn / drawn[-1]

    def batch(self, number: int) -> list[Place]:
        """Return the utterance of each row of a batch."""
        # Which batch of the epoch, and of which bucket (rule 2).
        epoch, place = divmod(number, self.epoch)
        there = np.array([place], np.int64)
        place = int(permuted(there, self.epoch, key_of(self.seed, epoch))[0])
        which = int(np.searchsorted(self._ends, place, "right"))
        bucket = self._buckets[which]
        slot = place - int(self._ends[which]) + bucket.batches
        # Which draws of the bucket's, and of which corpora.
        draws = int(bucket.draws.sum())
        first, last = (draws * n // bucket.batches for n in (slot, slot + 1))
        drawn = permuted(np.arange(first, last), draws, key_of(self.seed, epoch, which))
        ends = np.cumsum(bucket.draws)
        corpora = np.searchsorted(ends, drawn, "right")
        # Where these stand in the passes through each corpus (rule 3).
        of_corpus = drawn - (ends - bucket.draws)[corpora]
        since_start = of_corpus + epoch * bucket.draws[corpora]
        passes, places = np.divmod(since_start, bucket.size[corpora])
        found = np.empty(len(drawn), np.int64)
        for corpus, of_pass in set(zip(corpora.tolist(), passes.tolist(), strict=True)):
            rows = (corpora == corpus) & (passes == of_pass)
            key = key_of(self.seed, which, corpus, of_pass)
            inside = permuted(places[rows], int(bucket.size[corpus]), key)
            found[rows] = self._order(corpus)[bucket.low[corpus] + inside]
        sources = (self._corpora[corpus].source for corpus in corpora.tolist())
        return list(zip(sources, found.tolist(), strict=True))

    def any(self, rng: np.random.Generator) -> Place:
        """Draw an utterance, each as often as its weight says."""
        number = int(np.searchsorted(self._cumulative, rng.random(), "right"))
        number = min(number, len(self._corpora) - 1)
        corpus = self._corpora[number]
        return corpus.source, int(self._order(number)[rng.integers(corpus.low, corpus.high)])

    def seconds(self, place: Place) -> float:
        """Return the duration of an utterance, as its data set says."""
        source, number = place
        return self.indexes[source][number].duration or 0.0

    def up_to(self, seconds: float) -> tuple[int, float]:
        """Return how many utterances are as short, and their share of what is drawn."""
        highs = [_place(self.indexes, each, seconds, "right") for each in self._corpora]
        counts = [high - each.low for high, each in zip(highs, self._corpora, strict=True)]
        weights = [each.weight for each in self._corpora]
        drawn = sum(each.weight * (each.high - each.low) for each in self._corpora)
        return sum(counts), float(np.dot(counts, weights)) / drawn

    def __len__(self) -> int:
        """Return how many utterances are drawn from."""
        return sum(each.high - each.low for each in self._corpora)

    def _order(self, corpus: int) -> NDArray[np.generic]:
        return self.indexes[self._corpora[corpus].source].order


def _corpora(
    indexes: Sequence[Index],
    weights: Sequence[float],
    min_seconds: float,
    max_seconds: float,
    by_name: Mapping[str, float],
) -> list[_Corpus]:
    """Return the corpora of all data sets that have something to take, in the order of the indexes."""
    names = {name for index in indexes for name, _ in index.about.corpora}
    if unknown := sorted(by_name.keys() - names):
        raise ValueError(f"batches.weights has {unknown}; the corpora are {sorted(names)}")
    found = []
    for source, (index, weight) in enumerate(zip(indexes, weights, strict=True)):
        low = 0
        for name, size in index.about.corpora:
            whole = _Corpus(source, low, low + size, weight * by_name.get(name, 1.0))
            begin = _place(indexes, whole, min_seconds, "left")
            end = _place(indexes, whole, max_seconds, "right")
            if begin < end and whole.weight > 0.0:
                found.append(replace(whole, low=begin, high=end))
            low += size
    return found


def _divide(indexes: Sequence[Index], corpora: Sequence[_Corpus], seconds: float) -> list[_Bucket]:
    """Divide the utterances of all corpora into buckets, from short ones to long ones (rule 1)."""
    if not corpora:
        return []
    low = np.array([each.low for each in corpora])
    end = np.array([each.high for each in corpora])
    weights = np.array([each.weight for each in corpora])
    shortest = min(float(indexes[each.source].durations[each.low]) for each in corpora)
    longest = max(float(indexes[each.source].durations[each.high - 1]) for each in corpora)
    buckets, bottom, edge = [], shortest, shortest
    while (low < end).any():
        edge = min(edge * RATIO, longest)
        high = np.array([_place(indexes, each, edge, "right") for each in corpora])
        size = high - low
        draws = np.where(size > 0, np.maximum(np.rint(size * weights), 1), 0)
        rows = max(1, int(seconds / (edge + SILENCE_SECONDS)))
        last = edge >= longest
        if draws.sum() and (draws.sum() >= FULL_BATCHES * rows or edge >= WIDEST * bottom or last):
            draws = draws.astype(np.int64)
            buckets.append(_Bucket(low, size, draws, -(-int(draws.sum()) // rows)))
            low, bottom = high, edge
        elif not draws.sum():
            bottom = edge
    return buckets


def _place(
    indexes: Sequence[Index], corpus: _Corpus, seconds: float, side: Literal["left", "right"]
) -> int:
    """Return where the utterances of a corpus begin that are as long ("left"), or longer ("right")."""
    durations = indexes[corpus.source].durations[corpus.low : corpus.high]
    return corpus.low + int(np.searchsorted(durations, np.float32(seconds), side))
