"""The header of KenLM's binaries, and what their kinds have in common.

The layout (github.com/kpu/kenlm, lm/binary_format.hh), numbers little-endian, version 5 of the format:

    0    56 bytes    MAGIC, padded with zeros
    56   32 bytes    three floats and three integers that tell a machine of another layout
    88   20 bytes    order u8, multiplier f32 at 92, kind i32 at 96, words included u8 at 100, version u32 at 104
    108  8 * order   number of n-grams of each order; then padding to a multiple of 8
    ...              vocabulary and n-grams, by kind
    ...  text        the words by their ids, each with a zero byte after it, where they are included

A word's key is its MurmurHash64A, seed 0. <unk> is id 0 and has none.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass

from stream.language_model.ngram import NgramError

MAGIC = b"mmap lm http://kheafield.com/code format version 5\n\0"
LAYOUT = struct.pack("<3f2IIQ", 0.0, 1.0, -0.5, 1, 2**32 - 1, 0, 1)
MASK = 2**64 - 1
# Kinds; a trie may be quantised, its pointers compressed, or both.
PROBING, TRIE, QUANTISED, ARRAY = 0, 2, 1, 2
KINDS = {PROBING, *(TRIE + more for more in range(4))}
LONGEST = 16


@dataclass(frozen=True)
class Header:
    """What stands before the n-grams.

    Attributes:
        order: longest n-gram.
        multiplier: buckets an entry of hash tables.
        kind: one of `KINDS`.
        counts: n-grams of each order.
        place: of the first byte behind it.
    """

    order: int
    multiplier: float
    kind: int
    counts: Sequence[int]
    place: int

    def cut_short(self, content: bytes) -> NgramError:
        """Return the error of a file that ends too early."""
        return NgramError(f"n-gram: KenLM binary is cut short at {len(content)} bytes")


def read_header(content: bytes) -> Header:
    """Read the header of a binary.

    Raises:
        NgramError: it is none, or of a kind that is not read.
    """
    if not content.startswith(MAGIC):
        raise NgramError("n-gram: not a KenLM binary of format version 5")
    if len(content) < 108 or content[56:88] != LAYOUT:
        raise NgramError("n-gram: a KenLM binary of a machine of another layout, or cut short")
    order = content[88]
    multiplier, kind = struct.unpack_from("<fi", content, 92)
    if kind not in KINDS:
        raise NgramError(
            f"n-gram: KenLM binary of kind {kind}; want one of {sorted(KINDS)}, probing or trie"
        )
    if not (1 <= order <= LONGEST and 1.0 < multiplier < 100.0):
        raise NgramError(f"n-gram: KenLM binary of order {order}, multiplier {multiplier}")
    place = 108 + 8 * order
    header = Header(order, multiplier, kind, (), place + -place % 8)
    if len(content) < place:
        raise header.cut_short(content)
    counts = struct.unpack_from(f"<{order}Q", content, 108)
    return Header(order, multiplier, kind, counts, header.place)


def header_bytes(order: int, multiplier: float, kind: int, counts: Sequence[int]) -> bytes:
    """Return the header of a binary that includes its words."""
    content = MAGIC.ljust(56, b"\0") + LAYOUT
    version = 0 if kind == PROBING else 1
    content += struct.pack("<B3xfiB3xI", order, multiplier, kind, 1, version)
    content += struct.pack(f"<{order}Q", *counts)
    return content + bytes(-len(content) % 8)


def words_in(texts: bytes) -> list[str]:
    """Return the words that a file includes, by their ids.

    Raises:
        NgramError: it includes none.
    """
    if not texts:
        raise NgramError(
            "n-gram: the KenLM binary does not include its words, which a model over words needs; use ARPA"
        )
    return texts.decode(errors="replace").rstrip("\0").split("\0")


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
