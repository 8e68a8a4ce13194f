"""How often n-grams count: those of the longest order are counted, the counts of shorter ones follow from them.

1. The n-grams of the longest order are sorted by their words from the last to the first, equal ones added up. One that
   begins at the beginning of a text is filled with <s>: the trigrams of "a b" are "<s> <s> a", "<s> a b" and "a b </s>".
2. Then those that end alike lie side by side. A shorter n-gram counts as often as different words stand before it. One
   that begins with <s> counts as often as it occurs.
3. What is filled, such as "<s> <s> a", is no n-gram, but a shorter one is counted by it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stream.language_model.levels import ids_of, key_of
from stream.records.file import RecordFile, Records
from stream.records.grouping import Combiner
from stream.records.workspace import Workspace
from stream.stage import Integers
from train.lm.corpus import BEGIN_ID, Corpus

FALLBACK = (0.5, 1.0, 1.5)


@dataclass(frozen=True)
class Counted:
    """The n-grams of one order.

    Attributes:
        ngrams: of `counted_dtype`, sorted by key.
        counts_of_counts: how many count 1, 2, 3 and 4.
    """

    ngrams: RecordFile
    counts_of_counts: Integers

    @property
    def discounts(self) -> NDArray[np.float64]:
        """The discounts of counts 1, 2, and 3 or more (rule 2 of `train.lm.kneser_ney`)."""
        n1, n2, n3, n4 = self.counts_of_counts.tolist()
        if not (n1 and n2 and n3 and n4):
            return np.array(FALLBACK)
        y = n1 / (n1 + 2 * n2)
        found = (1 - 2 * y * n2 / n1, 2 - 3 * y * n3 / n2, 3 - 4 * y * n4 / n3)
        within = all(0.0 < d < count for count, d in enumerate(found, 1))
        return np.array(found if within else FALLBACK)


def counted_dtype(order: int) -> np.dtype[Any]:
    """Return the dtype of n-grams with their counts, and whether each is to be kept."""
    return np.dtype([("key", f"S{4 * order}"), ("count", "<i8"), ("kept", "?")])


def count_ngrams(corpus: Corpus, ids: Integers, order: int, space: Workspace) -> list[Counted]:
    """Return the n-grams of each order.

    Args:
        corpus: its file is removed.
        ids: of the language model, by those of the corpus.
        order: of the longest; shorter where no text is so long.
    """
    order = min(order, corpus.longest)
    sorter = space.sorter("counts", counted_dtype(order), ["count"])
    ngrams_of_words = corpus.ngrams(order)
    for ngrams in space.shown(ngrams_of_words, "counting words", corpus.tokens.count):
        records = np.ones(len(ngrams), counted_dtype(order))
        records["key"] = key_of(ids[ngrams])
        sorter.add(records)
    corpus.tokens.remove()
    levels = [_Level(n, int(ids[BEGIN_ID]), space) for n in range(1, order + 1)]
    for piece in space.shown(sorter.pieces(), "adding up n-grams"):
        for level in reversed(levels):
            piece = level.take(level.combiner.add(piece))
    piece = np.zeros(0, counted_dtype(order))
    for level in reversed(levels):
        piece = level.take(level.combiner.end(piece))
    return [Counted(level.file, level.counts_of_counts) for level in levels]


class _Level:
    """Counts of one order, which come from those of the next longer one."""

    def __init__(self, order: int, begin: int, space: Workspace) -> None:
        self._order, self._begin = order, begin
        self.combiner = Combiner(["count"])
        self.file = space.file(f"counted-{order}", counted_dtype(order))
        self.counts_of_counts = np.zeros(4, np.int64)

    def take(self, ngrams: Records) -> Records:
        """Write what are n-grams (rule 3), and return what they count of the next shorter order (rule 2)."""
        order, ids = self._order, ids_of(ngrams["key"])
        filled = ids[:, order - 2] == self._begin if order > 1 else np.zeros(len(ids), np.bool_)
        own: Records = ngrams[~filled]
        self.file.append(own)
        small = own["count"][own["count"] <= 4]
        self.counts_of_counts += np.bincount(small, minlength=5)[1:]
        if order == 1:
            return own
        shorter = np.ones(len(ngrams), counted_dtype(order - 1))
        shorter["key"] = key_of(ids[:, :-1])
        shorter["count"] = np.where(filled, ngrams["count"], 1)
        return shorter
