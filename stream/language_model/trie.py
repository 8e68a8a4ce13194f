"""KenLM's trie binary, read without KenLM: sorted n-grams packed into bits, looked up in place.

The layout (github.com/kpu/kenlm, lm/trie.cc, lm/quantize.hh, lm/bhiksha.hh, lm/vocab.hh), numbers little-endian, behind
the header (`stream.language_model.binary`):

    ...  8 bytes     number of words but <unk>
    ...  u64         keys of the words, sorted, with room for one more; ids are their places, from 1 on
    ...  bins        only where quantised: version u8 = 2, bits of probabilities u8 and of back-offs u8, 5 bytes; then
                     f32 by code, of each order from 2 on: probabilities, and but for the longest back-offs
    ...  unigrams    by id, and two more: probability f32, back-off f32, first bigram u64
    ...  n-grams     of each order from 2 to n - 1, an entry each and one more, then 8 bytes
    ...  n-grams     of order n, likewise

An n-gram is found from its last word to its first: those that share the words from the second on lie side by side, from
the place that the shorter one names to that which the entry after it names, sorted by their first word. An entry is
packed without gaps, lowest bits first:

    word             as many bits as the number of words needs
    values           probability 31 bits (a float without its sign) and back-off 32; quantised: code of the back-off,
                     then that of the probability; of the longest the probability alone
    next             place of the first longer n-gram, as many bits as their number needs

Where pointers are compressed, the upper bits of `next` are in a table before the entries, aligned to 8 bytes: version
u8 = 0, most bits u8, 6 bytes; then u64, for each value of the upper bits the first entry that has it.
"""

from __future__ import annotations

import bisect
import struct
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from stream.language_model.binary import ARRAY, QUANTISED, TRIE, Header, word_key, words_in
from stream.language_model.ngram import UNKNOWN, Context, NgramError

Range = tuple[int, int]  # of entries: the first, and the one after the last
UNIGRAM = np.dtype([("probability", "<f4"), ("backoff", "<f4"), ("next", "<u8")])
BINS_VERSION, ARRAY_VERSION = 2, 0
PROBABILITY_BITS, BACKOFF_BITS = 31, 32
SIGN = 1 << 31


class Bits:
    """Integers packed into bits, lowest bits first, read at any place."""

    def __init__(self, content: bytes, begin: int) -> None:
        self._content, self._begin = content, begin

    def read(self, place: int, bits: int) -> int:
        """Return the integer of so many bits at a bit."""
        byte, shift = divmod(place, 8)
        at = self._begin + byte
        value = int.from_bytes(self._content[at : at + 9], "little")
        return value >> shift & (1 << bits) - 1


@dataclass(frozen=True)
class Values:
    """How probability and back-off are packed.

    Attributes:
        probabilities, backoffs: by code; None: they are floats, not codes.
    """

    probabilities: NDArray[np.float32] | None
    backoffs: NDArray[np.float32] | None
    longest: bool

    @property
    def bits(self) -> int:
        """The bits of both."""
        if self.probabilities is None:
            return PROBABILITY_BITS + (0 if self.longest else BACKOFF_BITS)
        backoffs = 0 if self.backoffs is None else code_bits(self.backoffs)
        return code_bits(self.probabilities) + backoffs

    def read(self, bits: Bits, place: int) -> tuple[float, float]:
        """Return probability and back-off at a bit."""
        if self.probabilities is None:
            probability = _float(bits.read(place, PROBABILITY_BITS) | SIGN)
            if self.longest:
                return probability, 0.0
            return probability, _float(bits.read(place + PROBABILITY_BITS, BACKOFF_BITS))
        backoff = 0.0
        if self.backoffs is not None:
            width = code_bits(self.backoffs)
            backoff, place = float(self.backoffs[bits.read(place, width)]), place + width
        code = bits.read(place, code_bits(self.probabilities))
        return float(self.probabilities[code]), backoff


class Level:
    """The n-grams of an order.

    Args:
        bits: of the entries.
        count: entries.
        words: bits of a word.
        values: of an entry.
        inline: bits of `next` in an entry; 0 of the longest.
        upper: first entry of each value of its upper bits; empty: there are none.
    """

    def __init__(
        self, bits: Bits, count: int, words: int, values: Values, inline: int, upper: Sequence[int]
    ) -> None:
        self._bits, self._count, self._words, self._values = bits, count, words, values
        self._inline, self._upper = inline, upper
        self._size = words + values.bits + inline

    def find(self, word: int, among: Range) -> tuple[float, float, Range] | None:
        """Return probability, back-off and the longer n-grams of the entry of a word, or None.

        Raises:
            NgramError: the file is broken.
        """
        begin, end = among
        if not begin <= end <= self._count:
            raise NgramError(f"n-gram: KenLM binary has entries {begin} to {end} of {self._count}")
        at = bisect.bisect_left(
            range(begin, end),
            word,
            key=lambda entry: self._bits.read(entry * self._size, self._words),
        )
        entry = begin + at
        if entry == end or self._bits.read(entry * self._size, self._words) != word:
            return None
        probability, backoff = self._values.read(self._bits, entry * self._size + self._words)
        if not (np.isfinite(probability) and np.isfinite(backoff)):
            raise NgramError("n-gram: a value of the KenLM binary is not a finite number")
        longer = (self._next(entry), self._next(entry + 1)) if self._inline else (0, 0)
        return probability, backoff, longer

    def _next(self, entry: int) -> int:
        low = self._bits.read((entry + 1) * self._size - self._inline, self._inline)
        if not len(self._upper):
            return low
        return bisect.bisect_right(self._upper, entry) - 1 << self._inline | low


@dataclass(frozen=True)
class TrieTable:
    """The n-grams of a trie binary.

    Attributes:
        order: longest n-gram.
        keys: of the words, sorted.
        unigrams: `UNIGRAM` by id.
        levels: of the orders from 2 on.
        texts: of the words; empty where the file does not include them.
    """

    order: int
    keys: NDArray[np.uint64]
    unigrams: NDArray[np.void]
    levels: Sequence[Level]
    texts: bytes = b""

    def word(self, text: str) -> int | None:
        """Return the id of a word, or None where the model does not have it."""
        if text == UNKNOWN:
            return 0
        key = np.uint64(word_key(text))
        at = int(np.searchsorted(self.keys, key))
        return at + 1 if at < len(self.keys) and self.keys[at] == key else None

    def words(self) -> Iterable[str]:
        """Return all words.

        Raises:
            NgramError: the file does not include them.
        """
        return words_in(self.texts)

    def find(self, words: Context) -> tuple[float, float] | None:
        """Return log10 probability and back-off of an n-gram, or None.

        Raises:
            NgramError: the file is broken.
        """
        if not words:
            return None
        probability, backoff, begin = self.unigrams[words[-1]].item()
        among = begin, int(self.unigrams[words[-1] + 1]["next"])
        for word, level in zip(reversed(words[:-1]), self.levels, strict=False):
            found = level.find(word, among)
            if found is None:
                return None
            probability, backoff, among = found
        return -abs(probability), 0.0 if len(words) == self.order > 1 else backoff


def read_trie(content: bytes, header: Header) -> TrieTable:
    """Read what is behind the header of a trie binary.

    Raises:
        NgramError: it is cut short, or broken.
    """
    order, counts = header.order, header.counts
    kind = header.kind - TRIE
    place = header.place

    def take(size: int) -> int:
        nonlocal place
        begin, place = place, place + size
        if size < 0 or place > len(content):
            raise header.cut_short(content)
        return begin

    (words,) = struct.unpack_from("<Q", content, take(8 + 8 * counts[0]))
    if words >= max(counts[0], 1):
        raise NgramError(f"n-gram: KenLM binary has {words} words of {counts[0]} unigrams")
    keys = np.frombuffer(content, "<u8", words, header.place + 8)
    values = [Values(None, None, n == order) for n in range(2, order + 1)]
    if kind & QUANTISED and order > 1:
        begin = take(8)
        version, *widths = content[begin : begin + 3]
        if version != BINS_VERSION or not all(0 < width <= 25 for width in widths):
            raise NgramError(f"n-gram: KenLM binary has bins of version {version}, bits {widths}")

        def bins(bits: int) -> NDArray[np.float32]:
            return np.frombuffer(content, "<f4", 1 << bits, take(4 << bits))

        values = [Values(bins(widths[0]), bins(widths[1]), False) for _ in range(order - 2)]
        values.append(Values(bins(widths[0]), None, True))
    elif kind & QUANTISED:
        take(8)
    unigrams = np.frombuffer(
        content, UNIGRAM, counts[0] + 2, take((counts[0] + 2) * UNIGRAM.itemsize)
    )
    known = unigrams[: words + 1]
    if not (np.isfinite(known["probability"]).all() and np.isfinite(known["backoff"]).all()):
        raise NgramError("n-gram: a value of the KenLM binary is not a finite number")
    levels = []
    for n, of in enumerate(values, 2):
        count, inline, upper = counts[n - 1], 0, np.zeros(0, np.uint64)
        if n < order:
            inline = counts[n].bit_length()
            if kind & ARRAY:
                aligned = take(0) + -place % 8
                chopped = chopped_bits(count + 1, counts[n], content[take(8) + 1])
                inline -= chopped
                rows = (counts[n] >> inline) + 1
                take(8 * rows + 7)
                upper = np.frombuffer(content, "<u8", rows, aligned + 8)
        size = counts[0].bit_length() + of.bits + inline
        bits = Bits(content, take(((1 + count) * size + 7) // 8 + 8))
        levels.append(Level(bits, count, counts[0].bit_length(), of, inline, upper.tolist()))
    return TrieTable(order, keys, unigrams, levels, content[place:])


def chopped_bits(entries: int, longer: int, most: int) -> int:
    """Return how many upper bits of the pointers of some entries are in a table, as KenLM chooses it: the most that is saved.

    Args:
        longer: largest pointer.
        most: bits at most.
    """
    required = longer.bit_length()
    return min(
        range(min(required, most) + 1),
        key=lambda chop: (longer >> required - chop) * 64 - entries * chop,
    )


def code_bits(bins: NDArray[np.float32]) -> int:
    """Return the bits of the codes of so many bins."""
    return len(bins).bit_length() - 1


def _float(bits: int) -> float:
    value: float = struct.unpack("<f", bits.to_bytes(4, "little"))[0]
    return value
