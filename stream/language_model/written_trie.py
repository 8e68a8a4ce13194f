"""Language models as KenLM's trie binary, as `stream.language_model.trie` describes it; pointers are not compressed.

A trie takes less room than hash tables, and less still with probabilities and back-offs in bins of equal count
(Federico and Bertoldi, 2006).
"""

from __future__ import annotations

import struct
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from stream.errors import ArgumentError
from stream.language_model.binary import QUANTISED, TRIE, header_bytes, word_key
from stream.language_model.ngram import (
    UNKNOWN,
    ArpaTable,
    Context,
    NgramError,
    log10_probability,
)
from stream.language_model.trie import (
    BACKOFF_BITS,
    BINS_VERSION,
    PROBABILITY_BITS,
    SIGN,
    UNIGRAM,
)
from stream.language_model.written import MULTIPLIER
from stream.stage import Floats, Integers

NO_EXTENSION, EXTENSION = -0.0, 0.0  # back-offs of 0: no longer n-gram begins so, or one does
AT_ONCE = 1 << 16  # entries whose bits are in memory, a multiple of 8
Bins = NDArray[np.float32]
Packed = tuple[NDArray[np.uint64], int]  # a column of entries, and its bits


def kenlm_trie(table: ArpaTable, bits: int | None = None) -> bytes:
    """Return the bytes of a trie binary with its words: those that KenLM's build_binary writes.

    Where the model lacks the end of an n-gram, as pruning may leave it, that is added with what it counts anyway.

    Args:
        bits: of a probability and of a back-off, in bins; None: as they are.
    Raises:
        NgramError: the model has no unknown word, or no bigrams.
        ArgumentError: the bits are not 2 to 25.
    """
    if UNKNOWN not in table.ids:
        raise NgramError(f"n-gram: the model has no {UNKNOWN}, which KenLM's format wants")
    if table.order < 2:
        raise NgramError("n-gram: a trie is of bigrams at least; write a probing binary")
    if bits is not None and not 2 <= bits <= 25:
        raise ArgumentError(f"n-gram: {bits} bits a value; want 2 to 25")
    words = sorted((word for word in table.ids if word != UNKNOWN), key=word_key)
    words = [UNKNOWN, *words]
    ids = np.zeros(max(table.ids.values()) + 1, np.int64)
    ids[[table.ids[word] for word in words]] = np.arange(len(words))
    levels = _levels(table, ids)
    counts = [len(rows) for rows, _, _ in levels]
    content = header_bytes(
        table.order, MULTIPLIER, TRIE + (0 if bits is None else QUANTISED), counts
    )
    keys = [word_key(word) for word in words[1:]]
    content += struct.pack(f"<Q{len(words)}Q", len(keys), *keys, 0)
    after = [
        _first_longer(rows, longer)
        for (rows, _, _), (longer, _, _) in zip(levels, levels[1:], strict=False)
    ]
    coded: list[list[Packed]] = []
    if bits is not None:
        content += bytes([BINS_VERSION, bits, bits]) + bytes(5)
        for _, probability, backoff in levels[1:]:
            bins = _bins(probability, 1 << bits)
            content += bins.tobytes()
            columns = [(_codes(probability, bins, 0), bits)]
            if len(coded) < table.order - 2:
                of_backoff = np.concatenate(
                    [
                        np.array([NO_EXTENSION, EXTENSION], np.float32),
                        _bins(backoff[backoff != 0], (1 << bits) - 2),
                    ]
                )
                content += of_backoff.tobytes()
                columns.insert(0, (_backoff_codes(backoff, of_backoff), bits))
            coded.append(columns)
    else:
        for number, (_, probability, backoff) in enumerate(levels[1:], 2):
            columns = [(_bits_of(probability) & np.uint64(SIGN - 1), PROBABILITY_BITS)]
            columns += [(_bits_of(backoff), BACKOFF_BITS)] if number < table.order else []
            coded.append(columns)
    unigrams = np.zeros(len(words) + 2, UNIGRAM)
    unigrams["probability"][:-2], unigrams["backoff"][:-2] = levels[0][1:]
    unigrams["next"][:-1] = after[0]
    content += unigrams.tobytes()
    word_bits = len(words).bit_length()
    for number, columns in enumerate(coded, 1):
        packed = [(levels[number][0][:, -1].astype(np.uint64), word_bits), *columns]
        rows = counts[number]
        if number < table.order - 1:
            packed.append((after[number].astype(np.uint64), counts[number + 1].bit_length()))
        content += _packed(packed, rows + 1)
    return content + b"".join(word.encode() + b"\0" for word in words)


def _levels(table: ArpaTable, ids: Integers) -> list[tuple[Integers, Floats, Floats]]:
    """Return the n-grams of each order, in the order of their words from the last to the first.

    Returns:
        ids of the words (count, n), the last word first; probabilities and back-offs, (count,) each.
    """
    found: list[dict[Context, tuple[float, float]]] = [{} for _ in range(table.order)]
    for ngram, values in table.ngrams.items():
        found[len(ngram) - 1][ngram] = values
    for longer, shorter in zip(found[:0:-1], found[-2::-1], strict=True):
        for end in {ngram[1:] for ngram in longer} - shorter.keys():
            shorter[end] = log10_probability(table, end[:-1], end[-1]), 0.0
    begun = {ngram[:-1] for of in found for ngram in of}
    levels = []
    for of in found:
        rows = ids[np.array(list(of))[:, ::-1]]
        order = np.lexsort(rows.T[::-1])
        probability, backoff = np.array(list(of.values()), np.float32).T
        extended = np.array([ngram in begun for ngram in of])
        backoff = np.where((backoff == 0.0) & ~extended, np.float32(NO_EXTENSION), backoff)
        backoff = np.where((backoff == 0.0) & extended, np.float32(EXTENSION), backoff)
        levels.append((rows[order], probability[order], backoff[order]))
    return levels


def _first_longer(rows: Integers, longer: Integers) -> Integers:
    """Return the place of the first longer n-gram of each row, and of one after the last."""
    places = {row.tobytes(): place for place, row in enumerate(np.ascontiguousarray(rows))}
    ends = np.ascontiguousarray(longer[:, :-1])
    owners = np.array([places[row.tobytes()] for row in ends], np.int64)
    return np.searchsorted(owners, np.arange(len(rows) + 1))


def _bins(values: Floats, count: int) -> Bins:
    """Return the means of bins of equally many values; that of an empty one is the mean before it."""
    ordered = np.sort(values)
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


def _packed(columns: Sequence[Packed], count: int) -> bytes:
    """Pack entries into bits; a column that is shorter than the others ends in zeros."""
    size = sum(bits for _, bits in columns)
    content = b""
    for begin in range(0, count, AT_ONCE):
        rows = min(AT_ONCE, count - begin)
        bits = np.zeros((rows, size), np.uint8)
        at = 0
        for values, width in columns:
            some = values[begin : begin + rows]
            shifts = np.arange(width, dtype=np.uint64)
            bits[: len(some), at : at + width] = some[:, None] >> shifts & np.uint64(1)
            at += width
        content += np.packbits(bits.reshape(-1), bitorder="little").tobytes()
    return content + bytes(8)
