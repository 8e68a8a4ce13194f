"""Language models as KenLM's trie binary, as `stream.language_model.trie` describes it; pointers are not compressed.

A trie takes less room than hash tables, and less still with probabilities and back-offs in bins of equal count
(Federico and Bertoldi, 2006). It is written as its n-grams are read; for bins the values of one order are in memory,
4 bytes an n-gram.
"""

from __future__ import annotations

import io
import struct
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

from stream.errors import ArgumentError
from stream.language_model.binary import QUANTISED, TRIE, header_bytes, word_key
from stream.language_model.levels import Level, Levels, backoffs, ids_of, levels_of, listed
from stream.language_model.ngram import ArpaTable, NgramError
from stream.language_model.trie import (
    BACKOFF_BITS,
    BINS_VERSION,
    PROBABILITY_BITS,
    SIGN,
    UNIGRAM,
    code_bits,
)
from stream.language_model.written_probing import MULTIPLIER
from stream.records.file import Records
from stream.records.workspace import Workspace, workspace
from stream.stage import Floats

BITS = range(2, 26)  # of a value in bins
Bins = NDArray[np.float32]
Column = tuple[NDArray[np.uint64], int]  # a column of entries, and its bits


@dataclass(frozen=True)
class Coding:
    """How the values of an order are packed.

    Attributes:
        probabilities, backoffs: bins; None: values are floats, or the order has no back-offs.
        longest: whether it is the longest, which has no back-offs.
    """

    probabilities: Bins | None
    backoffs: Bins | None
    longest: bool

    @property
    def bits(self) -> int:
        """The bits of the values of an n-gram."""
        if self.probabilities is None:
            return PROBABILITY_BITS + (0 if self.longest else BACKOFF_BITS)
        return code_bits(self.probabilities) * (1 if self.longest else 2)

    def columns(self, piece: Records) -> list[Column]:
        """Return the values of some n-grams."""
        probability, backoff = piece["probability"].astype(np.float32), backoffs(piece)
        if self.probabilities is None:
            columns = [(_bits_of(probability) & np.uint64(SIGN - 1), PROBABILITY_BITS)]
            return columns if self.longest else [*columns, (_bits_of(backoff), BACKOFF_BITS)]
        bits = code_bits(self.probabilities)
        columns = [(_codes(probability, self.probabilities, 0), bits)]
        if self.backoffs is not None:
            columns.insert(0, (_backoff_codes(backoff, self.backoffs), bits))
        return columns


def write_trie(model: Levels, file: BinaryIO, space: Workspace, bits: int | None = None) -> None:
    """Write a trie binary with its words: the bytes that KenLM's build_binary writes.

    Args:
        model: has the end of each of its n-grams, too.
        space: shows how far it is.
        bits: of a probability and of a back-off, in bins; None: as they are.
    Raises:
        NgramError: the model has no bigrams.
        ArgumentError: the bits are not 2 to 25.
    """
    if model.order < 2:
        raise NgramError("n-gram: a trie is of bigrams at least; write a probing binary")
    if bits is not None and bits not in BITS:
        raise ArgumentError(f"n-gram: {bits} bits a value; want {BITS[0]} to {BITS[-1]}")
    counts = model.counts
    kind = TRIE + (0 if bits is None else QUANTISED)
    file.write(header_bytes(model.order, MULTIPLIER, kind, counts))
    words = [model.words[place] for place in listed(model.words).tolist()]
    keys = [word_key(word) for word in words[1:]]
    file.write(struct.pack(f"<Q{len(words)}Q", len(keys), *keys, 0))
    codings = [Coding(None, None, order == model.order) for order in range(2, model.order + 1)]
    if bits is not None:
        file.write(bytes([BINS_VERSION, bits, bits]) + bytes(5))
        for number, level in enumerate(model.levels[1:]):
            space.show(f"making bins of {level.count} n-grams of {number + 2}")
            codings[number] = _coding(level, bits, codings[number].longest)
            for bins in (codings[number].probabilities, codings[number].backoffs):
                if bins is not None:
                    file.write(bins.tobytes())
    for piece, after in _numbered(model.levels[0]):
        unigrams = np.zeros(len(piece), UNIGRAM)
        unigrams["probability"], unigrams["backoff"] = piece["probability"], backoffs(piece)
        unigrams["next"] = after
        file.write(unigrams.tobytes())
    ending = np.zeros(2, UNIGRAM)
    ending["next"][0] = counts[1]
    file.write(ending.tobytes())
    word_bits = len(words).bit_length()
    for order, (level, coding) in enumerate(zip(model.levels[1:], codings, strict=True), 2):
        space.show(f"writing {level.count} n-grams of {order}")
        pointer_bits = 0 if coding.longest else counts[order].bit_length()
        _write_level(file, level, coding, word_bits, pointer_bits)
    file.write(b"".join(word.encode() + b"\0" for word in words))


def kenlm_trie(table: ArpaTable, bits: int | None = None) -> bytes:
    """Return the trie binary of a language model in memory; see `write_trie`.

    Where the model lacks the end of an n-gram, as pruning may leave it, that is added with what it counts anyway.

    Raises:
        NgramError: the model has no unknown word, or no bigrams.
        ArgumentError: the bits are not 2 to 25.
    """
    file = io.BytesIO()
    with workspace() as space:
        write_trie(levels_of(table, complete=True), file, space, bits)
    return file.getvalue()


def _numbered(level: Level) -> Iterator[tuple[Records, NDArray[np.uint64]]]:
    """Yield n-grams, and the place of the first longer one that ends with each, or would."""
    before = 0
    for piece in level.pieces():
        ends = before + np.cumsum(piece["longer"], dtype=np.int64)
        yield piece, (ends - piece["longer"]).astype(np.uint64)
        before = int(ends[-1])


def _coding(level: Level, bits: int, longest: bool) -> Coding:
    probability = _gathered(piece["probability"] for piece in level.pieces())
    probabilities = _bins(probability, 1 << bits)
    if longest:
        return Coding(probabilities, None, longest)
    backoff = _gathered(b[b != 0] for b in map(backoffs, level.pieces()))
    zeros = np.array([-0.0, 0.0], np.float32)
    with_zeros = np.concatenate([zeros, _bins(backoff, (1 << bits) - 2)])
    return Coding(probabilities, with_zeros, longest)


def _gathered(values: Iterable[Records]) -> Floats:
    """Return sorted values."""
    gathered = np.concatenate([np.zeros(0, np.float32), *(of.astype(np.float32) for of in values)])
    gathered.sort()
    return gathered


def _bins(ordered: Floats, count: int) -> Bins:
    """Return the means of bins of equally many sorted values; that of an empty one is the mean before it."""
    ends = len(ordered) * np.arange(count + 1, dtype=np.int64) // count
    means = np.empty(count, np.float32)
    for number, (begin, end) in enumerate(zip(ends[:-1].tolist(), ends[1:].tolist(), strict=True)):
        if begin == end:
            means[number] = means[number - 1] if number else -np.inf
        else:
            means[number] = np.cumsum(ordered[begin:end], dtype=np.float64)[-1] / (end - begin)
    return means


def _codes(values: Floats, bins: Bins, reserved: int) -> NDArray[np.uint64]:
    """Return the code of the nearest bin of each value, of equally near ones the upper; some codes are reserved."""
    used = bins[reserved:]
    above = np.searchsorted(used, values, "left")
    inside = (above > 0) & (above < len(used))
    near = np.clip(above, 1, len(used) - 1)
    with np.errstate(invalid="ignore"):
        lower = values - used[near - 1] < used[near] - values
    codes = np.where(inside, above - lower, np.minimum(above, len(used) - 1))
    return (codes + reserved).astype(np.uint64)


def _backoff_codes(values: Floats, bins: Bins) -> NDArray[np.uint64]:
    codes = _codes(values, bins, 2)
    return np.where(values == 0.0, np.where(np.signbit(values), 0, 1), codes).astype(np.uint64)


def _bits_of(values: Floats) -> NDArray[np.uint64]:
    return values.astype(np.float32).view(np.uint32).astype(np.uint64)


def _write_level(
    file: BinaryIO, level: Level, coding: Coding, word_bits: int, pointer_bits: int
) -> None:
    """Write the entries of an order, and one more that has a pointer alone."""
    width = word_bits + coding.bits + pointer_bits
    last = np.zeros((1, width), np.uint8)
    left = np.zeros(0, np.uint8)  # bits that do not fill a byte yet
    for piece, after in _numbered(level):
        words = ids_of(piece["key"])[:, -1].astype(np.uint64)
        values = coding.columns(piece)
        bits = _unpacked([(words, word_bits), *values, (after, pointer_bits)])
        bits = np.concatenate([left, bits.reshape(-1)])
        whole = len(bits) // 8 * 8
        file.write(np.packbits(bits[:whole], bitorder="little").tobytes())
        left = bits[whole:]
        pointer = after[-1:] + piece["longer"][-1:]
        last[:, width - pointer_bits :] = _unpacked([(pointer, pointer_bits)])
    left = np.concatenate([left, last.reshape(-1)])
    file.write(np.packbits(left, bitorder="little").tobytes() + bytes(8))


def _unpacked(columns: Sequence[Column]) -> NDArray[np.uint8]:
    """Return the bits of entries, (count, bits of all columns), lowest first."""
    bits = [
        (values[:, None] >> np.arange(width, dtype=np.uint64) & np.uint64(1)).astype(np.uint8)
        for values, width in columns
    ]
    return np.concatenate(bits, axis=1)
