"""The n-grams of a language model as sorted records, from which its files are written.

1. The id of a word is its place among all words sorted by KenLM's key, from 1 on; <unk> is 0. Files list words in another
   order.
2. The key of an n-gram is the ids of its words from the last to the first, four bytes each with the highest first. Sorted
   so, n-grams that end alike lie side by side, as in KenLM's trie.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from stream.language_model.binary import word_key
from stream.language_model.ngram import (
    UNKNOWN,
    ArpaTable,
    Context,
    NgramError,
    log10_probability,
)
from stream.records.file import PIECE, Records
from stream.stage import Floats, Integers

Keys = NDArray[np.bytes_]


class Level(Protocol):
    """The n-grams of one order, records of `level_dtype` sorted by key."""

    @property
    def count(self) -> int:
        """How many there are."""
        ...

    def pieces(self, rows: int = PIECE) -> Iterator[Records]:
        """Yield them; every piece but the last has so many rows."""
        ...


@dataclass(frozen=True)
class Levels:
    """A language model.

    Attributes:
        words: in the order in which files list them, <unk> first.
        levels: the n-grams of each order, from 1 on.
    """

    words: Sequence[str]
    levels: Sequence[Level]

    @property
    def order(self) -> int:
        """Length of the longest n-grams."""
        return len(self.levels)

    @property
    def counts(self) -> list[int]:
        """Number of n-grams of each order."""
        return [level.count for level in self.levels]


@dataclass(frozen=True)
class InMemory:
    """A level that is an array."""

    records: Records

    @property
    def count(self) -> int:
        """How many n-grams there are."""
        return len(self.records)

    def pieces(self, rows: int = PIECE) -> Iterator[Records]:
        """Yield them; every piece but the last has so many rows."""
        for begin in range(0, len(self.records), rows):
            yield self.records[begin : begin + rows]


def level_dtype(order: int) -> np.dtype[Any]:
    """Return the dtype of the n-grams of an order.

    Its fields: the key of rule 2; log10 of probability and back-off; how many longer n-grams end with it; whether one
    begins with it; and its place in the order in which files list n-grams.
    """
    return np.dtype(
        [
            ("key", f"S{4 * order}"),
            ("probability", "<f8"),
            ("backoff", "<f8"),
            ("longer", "<u4"),
            ("begins", "?"),
            ("place", "<u8"),
        ]
    )


def key_of(ids: NDArray[np.integer[Any]]) -> Keys:
    """Return the keys of n-grams.

    Args:
        ids: (count, n), the last word of each first.
    """
    order = ids.shape[1]
    return np.ascontiguousarray(ids, ">u4").view(f"S{4 * order}").reshape(len(ids))


def ids_of(keys: Keys) -> NDArray[np.uint32]:
    """Return the ids of keys, (count, n), the last word of each first."""
    order = keys.dtype.itemsize // 4
    ids = np.ascontiguousarray(keys).view(">u4").reshape(len(keys), order)
    return ids.astype(np.uint32)


def backoffs(records: Records) -> Floats:
    """Return the back-offs of n-grams; the sign of 0 is a flag of KenLM's: -0 where no longer n-gram begins with it."""
    values = records["backoff"].astype(np.float32)
    zeros = np.where(records["begins"], np.float32(0.0), np.float32(-0.0))
    return np.where(values == 0.0, zeros, values)


def ranks(words: Sequence[str]) -> Integers:
    """Return the ids of words (rule 1).

    Args:
        words: all of a model, <unk> first.
    """
    keys = np.array([word_key(word) for word in words[1:]], np.uint64)
    found = np.zeros(len(words), np.int64)
    found[1 + np.argsort(keys, kind="stable")] = np.arange(1, len(words))
    return found


def listed(words: Sequence[str]) -> Integers:
    """Return the place in a list of words of each id."""
    return np.argsort(ranks(words))


def levels_of(table: ArpaTable, *, complete: bool = False) -> Levels:
    """Return the n-grams of a table.

    Args:
        complete: whether the end of an n-gram which the table lacks, as pruning may leave it, is added with what it
            counts anyway.
    Raises:
        NgramError: the model has no unknown word, which is the word 0 of KenLM's formats.
    """
    if UNKNOWN not in table.ids:
        raise NgramError(f"n-gram: the model has no {UNKNOWN}, which KenLM's format wants")
    words = [UNKNOWN, *(word for word in table.ids if word != UNKNOWN)]
    ids = np.zeros(max(table.ids.values()) + 1, np.int64)
    ids[[table.ids[word] for word in words]] = ranks(words)
    found: list[dict[Context, tuple[float, float]]] = [{} for _ in range(table.order)]
    for ngram, values in table.ngrams.items():
        found[len(ngram) - 1][ngram] = values
    if complete:
        for longer, shorter in zip(found[:0:-1], found[-2::-1], strict=True):
            for end in {ngram[1:] for ngram in longer} - shorter.keys():
                shorter[end] = log10_probability(table, end[:-1], end[-1]), 0.0
    begun = {ngram[:-1] for of in found for ngram in of}
    ended = Counter(ngram[1:] for of in found for ngram in of)
    levels = []
    for order, of in enumerate(found, 1):
        records = np.zeros(len(of), level_dtype(order))
        ngrams = np.array(list(of), np.int64).reshape(len(of), order)
        records["key"] = key_of(ids[ngrams[:, ::-1]])
        columns = np.array(list(of.values()), np.float64).reshape(len(of), 2).T
        records["probability"], records["backoff"] = columns
        records["longer"] = [ended[ngram] for ngram in of]
        records["begins"] = [ngram in begun for ngram in of]
        records["place"] = np.arange(len(of))
        levels.append(InMemory(records[np.argsort(records["key"])]))
    return Levels(words, levels)
