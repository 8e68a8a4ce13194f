"""N-gram language model over pieces: log-probabilities with back-off (Katz, 1987).

`Ngram` looks for the longest n-gram that the model has in a `Table`: of an ARPA file here, of KenLM's binaries
in `stream.language_model.kenlm`. The words of the model are the pieces of a vocabulary; for one over whole words
see `stream.language_model.words`. Files have base 10 logarithms, `Ngram` returns natural ones.

A state is the tuple of the last order - 1 word ids, at the start of a stream that of <s>. No end of
sentence is scored (NUMERICS 4.4).
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, TypeAlias

from stream.errors import InputError
from stream.files.text import TextError, read_lines
from stream.language_model.fusion import Fusion
from stream.vocabulary import WORD_MARK

Context: TypeAlias = tuple[int, ...]
UNKNOWN = "<unk>"
BEGIN = "<s>"
END = "</s>"
REMEMBERED = 1 << 16  # (context, token) pairs whose score is kept


class NgramError(InputError):
    """A file that is not the language model it should be."""


class Table(Protocol):
    """N-grams of one file: log10 probability and log10 back-off weight of each."""

    @property
    def order(self) -> int:
        """Length of the longest n-gram."""
        ...

    def word(self, text: str) -> int | None:
        """Return the id of a word, or None where the model does not have it."""
        ...

    def words(self) -> Iterable[str]:
        """Return all words, <unk>, <s> and </s> among them.

        Raises:
            NgramError: the file does not hold them.
        """
        ...

    def find(self, words: Context) -> tuple[float, float] | None:
        """Return log10 probability and back-off of an n-gram, oldest word first, or None."""
        ...


class Ngram:
    """A language model over the pieces of a vocabulary.

    Args:
        table: its n-grams.
        pieces: of the vocabulary, by token id; one that the model lacks is its unknown word.
        fusion: how much it counts; a number is its weight alone.
        skipped: tokens that are no text, as `<EOS>`: they score 0 and do not change the state.
    Raises:
        NgramError: the table has no unknown word and lacks a piece, or has no <s>.
        ArgumentError: a weight is not a finite number.
    """

    def __init__(
        self,
        table: Table,
        pieces: Sequence[str],
        fusion: Fusion | float,
        skipped: frozenset[int] = frozenset(),
    ) -> None:
        fusion = Fusion.of(fusion)
        self._table, self._skipped = table, skipped
        self._factor = fusion.weight * math.log(10.0)
        unknown = table.word(UNKNOWN)
        self._words: list[int] = []
        self._bonus: list[float] = []  # of each piece, whatever came before it
        for piece in pieces:
            word = table.word(piece)
            known = word is not None
            word = unknown if word is None else word
            if word is None:
                raise NgramError(f"n-gram: the model has neither the piece {piece!r} nor {UNKNOWN}")
            self._words.append(word)
            bonus = fusion.word_bonus if piece.startswith(WORD_MARK) else 0.0
            self._bonus.append(bonus if known else bonus - fusion.unknown_penalty)
        self.start: Context = beginning(table)
        self._scores: dict[tuple[Context, int], tuple[float, Context]] = {}

    def step(self, context: Context, token: int) -> tuple[float, Context]:
        """Return what a token adds to the score, natural log, and the context after it."""
        if token in self._skipped:
            return 0.0, context
        key = (context, token)
        scored = self._scores.get(key)
        if scored is None:
            if len(self._scores) >= REMEMBERED:
                self._scores.clear()
            word = self._words[token]
            score = log10_probability(self._table, context, word) * self._factor
            after = followed(self._table, context, word)
            scored = self._scores[key] = score + self._bonus[token], after
        return scored

    def ending(self, context: Context) -> float:
        """Return what is still to be scored where a text ends: nothing."""
        return 0.0


def beginning(table: Table) -> Context:
    """Return the context at the start of a text.

    Raises:
        NgramError: the model has no <s>.
    """
    begin = table.word(BEGIN)
    if begin is None:
        raise NgramError(f"n-gram: the model has no {BEGIN}")
    return (begin,)[: table.order - 1]


def followed(table: Table, context: Context, word: int) -> Context:
    """Return the context after a word."""
    return (*context, word)[-(table.order - 1) :] if table.order > 1 else ()


def log10_probability(table: Table, context: Context, word: int) -> float:
    """Return log10 of a word's probability after a context, with back-off."""
    backed_off = 0.0
    for begin in range(len(context) + 1):
        found = table.find((*context[begin:], word))
        if found is not None:
            return backed_off + found[0]
        weight = table.find(context[begin:])
        backed_off += weight[1] if weight is not None else 0.0
    raise AssertionError(f"word {word} has no unigram")  # `Table.word` gave its id


@dataclass(frozen=True)
class ArpaTable:
    """The n-grams of an ARPA file.

    Attributes:
        order: longest n-gram.
        ids: of words.
        ngrams: log10 probability and back-off by word ids.
    """

    order: int
    ids: dict[str, int]
    ngrams: dict[Context, tuple[float, float]]

    def word(self, text: str) -> int | None:
        """Return the id of a word, or None where the model does not have it."""
        return self.ids.get(text)

    def words(self) -> Iterable[str]:
        """Return all words."""
        return self.ids

    def find(self, words: Context) -> tuple[float, float] | None:
        """Return log10 probability and back-off of an n-gram, or None."""
        return self.ngrams.get(words)


def read_arpa(path: Path) -> ArpaTable:
    """Read an ARPA file (Doug Paul's format: \\data\\, \\N-grams:, \\end\\; UTF-8), also a compressed one (gzip).

    Raises:
        NgramError: it is not one; the message names the line.
    """
    ids: dict[str, int] = {}
    ngrams: dict[Context, tuple[float, float]] = {}
    order, number, ended = 0, 0, False
    try:
        for number, line in read_lines(path):
            line = line.strip()
            if line == "\\end\\":
                ended = True
                break
            if line.startswith("\\") and line.endswith("-grams:"):
                if line != f"\\{order + 1}-grams:":
                    raise NgramError(f"{path}: line {number}: {line!r} after order {order}")
                order += 1
            elif line and order:
                try:
                    fields = line.split()
                    if not order + 1 <= len(fields) <= order + 2:
                        raise ValueError(f"{len(fields)} fields")
                    probability = float(fields[0])
                    backoff = float(fields[order + 1]) if len(fields) > order + 1 else 0.0
                    if not (math.isfinite(probability) and math.isfinite(backoff)):
                        raise ValueError("a number is not finite")
                    words = fields[1 : order + 1]
                    if order == 1:
                        ids.setdefault(words[0], len(ids))
                    ngrams[tuple(ids[word] for word in words)] = probability, backoff
                except (ValueError, KeyError) as error:
                    raise NgramError(
                        f"{path}: line {number}: {line[:60]!r} is not a {order}-gram: {error}"
                    ) from error
    except TextError as error:
        raise NgramError(f"{path}: not an ARPA file: {error}") from error
    if not (order and ended):
        raise NgramError(f"{path}: not a whole ARPA file: it ends at line {number}")
    return ArpaTable(order, ids, ngrams)
