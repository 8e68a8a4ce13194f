"""KenLM's probing binary, read without KenLM: the tables of a language model, used in place.

The layout (github.com/kpu/kenlm, lm/binary_format.hh, lm/search_hashed.hh, lm/vocab.cc), numbers
little-endian, version 5 of the format:

    0    56 bytes    MAGIC, padded with zeros
    56   32 bytes    three floats and three integers that tell a machine of another layout
    88   20 bytes    order u8, multiplier f32 at 92, kind i32 at 96 (0 = probing), words included u8 at 100
    108  8 * order   number of n-grams of each order; then padding to a multiple of 8
    ...  8 bytes     version and bound of the vocabulary
    ...  hash table  of words: key u64, id u32
    ...  floats      probability and back-off of each id, and of one id more
    ...  hash tables of the orders 2 to n - 1: key u64, probability f32, back-off f32
    ...  hash table  of order n: key u64, probability f32
    ...  text        the words, where they are included

A hash table of n entries has max(n + 1, int(multiplier * n)) buckets; a key lies in the first free one
from bucket key mod buckets on, and a free one has key 0. A word's key is its MurmurHash64A, seed 0,
and <unk> is id 0 without a key; an n-gram's key starts as the id of its last word and takes in the
ids before it from right to left. The sign of a probability is a flag: all are negative.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stream.language_model.ngram import UNKNOWN, Context, NgramError

MAGIC = b"mmap lm http://kheafield.com/code format version 5\n\0"
LAYOUT = struct.pack("<3f2IIQ", 0.0, 1.0, -0.5, 1, 2**32 - 1, 0, 1)
MASK = 2**64 - 1

_WORD = np.dtype([("key", "<u8"), ("id", "<u4")])
_MIDDLE = np.dtype([("key", "<u8"), ("probability", "<f4"), ("backoff", "<f4")])
_LONGEST = np.dtype([("key", "<u8"), ("probability", "<f4")])
_UNIGRAM = np.dtype([("probability", "<f4"), ("backoff", "<f4")])


@dataclass(frozen=True)
class KenlmTable:
    """The n-grams of a KenLM binary, looked up in place.

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
        if not self.texts:
            raise NgramError(
                "n-gram: the KenLM binary does not include its words; make it without vocabulary removed, or use ARPA"
            )
        return self.texts.decode(errors="replace").rstrip("\0").split("\0")

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
    """Return the entry of a key, or None; every table has a free bucket, `read_kenlm` saw to it."""
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


def word_key(word: str) -> int:
    """Return the key of a word: MurmurHash64A (Austin Appleby, public domain), seed 0."""
    text = word.encode()
    multiplier = 0xC6A4A7935BD1E995
    h = len(text) * multiplier & MASK
    whole = len(text) // 8 * 8
    for (k,) in struct.iter_unpack("<Q", text[:whole]):
        k = k * multiplier & MASK
        k = (k ^ k >> 47) * multiplier & MASK
        h = (h ^ k) * multiplier & MASK
    if rest := text[whole:]:
        h = (h ^ int.from_bytes(rest, "little")) * multiplier & MASK
    h = (h ^ h >> 47) * multiplier & MASK
    return h ^ h >> 47


def read_kenlm(content: bytes) -> KenlmTable:
    """Read the bytes of a probing binary, as a hardware checkpoint or a file has them.

    Raises:
        NgramError: they are not one, or of another kind (trie, quantised), or cut short.
    """
    if not content.startswith(MAGIC):
        raise NgramError("n-gram: not a KenLM binary of format version 5")
    if len(content) < 108 or content[56:88] != LAYOUT:
        raise NgramError("n-gram: a KenLM binary of a machine of another layout, or cut short")
    order = content[88]
    multiplier, kind = struct.unpack_from("<fi", content, 92)
    if kind != 0:
        raise NgramError(f"n-gram: KenLM binary of kind {kind}; build_binary probing makes kind 0")
    if not (1 <= order <= 16 and 1.0 < multiplier < 100.0):
        raise NgramError(f"n-gram: KenLM binary of order {order}, multiplier {multiplier}")
    place = 108 + 8 * order
    if len(content) < place:
        raise NgramError(f"n-gram: KenLM binary is cut short at {len(content)} bytes")
    counts = struct.unpack_from(f"<{order}Q", content, 108)
    place += -place % 8 + 8

    def take(dtype: np.dtype[Any], count: int) -> NDArray[Any]:
        nonlocal place
        end = place + count * dtype.itemsize
        if end > len(content):
            raise NgramError(f"n-gram: KenLM binary is cut short at {len(content)} bytes")
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

    words = table(_WORD, counts[0])
    unigrams = take(_UNIGRAM, counts[0] + 1)
    if np.any(words["id"][words["key"] != 0] >= len(unigrams)):
        raise NgramError("n-gram: a word of the KenLM binary has an id beyond its unigrams")
    middle = tuple(table(_MIDDLE, count) for count in counts[1:-1])
    longest = (table(_LONGEST, counts[-1]),) if order > 1 else ()
    return KenlmTable(order, words, unigrams, middle + longest, content[place:])
