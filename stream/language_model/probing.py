"""KenLM's probing binary, read without KenLM: hash tables of n-grams, used in place.

The layout (github.com/kpu/kenlm, lm/search_hashed.hh, lm/vocab.cc), numbers little-endian, behind the header
(`stream.language_model.binary`):

    ...  8 bytes     version and bound of the vocabulary
    ...  hash table  of words: key u64, id u32
    ...  floats      probability and back-off of each id, and of one id more
    ...  hash tables of the orders 2 to n - 1: key u64, probability f32, back-off f32
    ...  hash table  of order n: key u64, probability f32
    ...  text        the words, where they are included

A hash table of n entries has max(n + 1, int(multiplier * n)) buckets; a key lies in the first free one
from bucket key mod buckets on, and a free one has key 0. <unk> is id 0 without a key; an n-gram's key starts as the id of its last word and takes in the
ids before it from right to left. The sign of a probability is a flag: all are negative.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stream.language_model.binary import MASK, Header, word_key, words_in
from stream.language_model.ngram import UNKNOWN, Context, NgramError

WORD = np.dtype([("key", "<u8"), ("id", "<u4")])
MIDDLE = np.dtype([("key", "<u8"), ("probability", "<f4"), ("backoff", "<f4")])
LONGEST = np.dtype([("key", "<u8"), ("probability", "<f4")])
UNIGRAM = np.dtype([("probability", "<f4"), ("backoff", "<f4")])


@dataclass(frozen=True)
class ProbingTable:
    """The n-grams of a probing binary, looked up in place.

    Attributes:
        order: longest n-gram.
        ids: hash table of word ids.
        unigrams: probability and back-off by id.
        longer: hash tables of the orders from 2 on.
        texts: of the words, each with a zero byte after it; empty where the file does not include them.
    """

    order: int
    ids: NDArray[Any]
    unigrams: NDArray[Any]
    longer: tuple[NDArray[Any], ...]
    texts: bytes = b""

    def word(self, text: str) -> int | None:
        """Return the id of a word, or None where the model does not have it."""
        if text == UNKNOWN:
            return 0
        entry = _probe(self.ids, word_key(text))
        return None if entry is None else int(entry["id"])

    def words(self) -> Iterable[str]:
        """Return all words.

        Raises:
            NgramError: the file does not include them.
        """
        return words_in(self.texts)

    def find(self, words: Context) -> tuple[float, float] | None:
        """Return log10 probability and back-off of an n-gram, or None."""
        if not words:
            return None
        if len(words) == 1:
            entry = self.unigrams[words[0]]
        else:
            entry = _probe(self.longer[len(words) - 2], ngram_key(words))
            if entry is None:
                return None
        longest = len(words) == self.order > 1
        return -abs(float(entry["probability"])), 0.0 if longest else float(entry["backoff"])


def _probe(table: NDArray[Any], key: int) -> Any:
    """Return the entry of a key, or None; every table has a free bucket, `read_probing` saw to it."""
    keys, bucket = table["key"], key % len(table)
    while (there := int(keys[bucket])) != key:
        if there == 0:
            return None
        bucket = (bucket + 1) % len(table)
    return table[bucket]


def ngram_key(words: Sequence[int]) -> int:
    """Return the key of an n-gram of two words or more, by their ids."""
    key = words[-1]
    for word in reversed(words[:-1]):
        key = (key * 8978948897894561157 & MASK) ^ ((1 + word) * 17894857484156487943 & MASK)
    return key


def read_probing(content: bytes, header: Header) -> ProbingTable:
    """Read the tables behind the header of a probing binary.

    Raises:
        NgramError: it is cut short, or broken.
    """
    order, counts, multiplier = header.order, header.counts, header.multiplier
    place = header.place + 8

    def take(dtype: np.dtype[Any], count: int) -> NDArray[Any]:
        nonlocal place
        end = place + count * dtype.itemsize
        if end > len(content):
            raise header.cut_short(content)
        array = np.frombuffer(content, dtype, count, place)
        place = end
        for name in {"probability", "backoff"} & set(dtype.names or ()):
            if not np.isfinite(array[name]).all():
                raise NgramError(f"n-gram: a {name} of the KenLM binary is not a finite number")
        return array

    def table(dtype: np.dtype[Any], count: int) -> NDArray[Any]:
        array = take(dtype, max(count + 1, int(multiplier * count)))
        if np.all(array["key"]):
            raise NgramError("n-gram: a hash table of the KenLM binary has no free bucket")
        return array

    ids = table(WORD, counts[0])
    unigrams = take(UNIGRAM, counts[0] + 1)
    if np.any(ids["id"][ids["key"] != 0] >= len(unigrams)):
        raise NgramError("n-gram: a word of the KenLM binary has an id beyond its unigrams")
    middle = tuple(table(MIDDLE, count) for count in counts[1:-1])
    longest = (table(LONGEST, counts[-1]),) if order > 1 else ()
    return ProbingTable(order, ids, unigrams, middle + longest, content[place:])
