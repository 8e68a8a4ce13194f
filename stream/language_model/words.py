"""N-gram language model over whole words, for pieces of any kind.

A word is known to be complete when the next one begins, or where the text ends. Until then a hypothesis is scored by
what the word may become, so that hypotheses within words and between them compare (Ortmanns et al., 1996, language
model look-ahead):

1. The first characters of a word count as the most probable word, by its unigram, that begins with them; what they
   counted is taken back when they change. Where no word begins with them they count as the unknown word.
2. A complete word counts by its probability after the words before it.
3. The word bonus comes with the first character of a word, the unknown penalty as soon as no known word begins so.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

from stream.language_model.fusion import Fusion
from stream.language_model.ngram import (
    BEGIN,
    END,
    REMEMBERED,
    UNKNOWN,
    Context,
    NgramError,
    Table,
    beginning,
    followed,
    log10_probability,
)
from stream.vocabulary import WORD_MARK, Piece, add, flush


class WordContext(NamedTuple):
    """What a hypothesis has said.

    Attributes:
        words: ids of the last complete ones.
        begun: characters of the word that is not complete.
        waiting: bytes of a character that is not complete.
        counted: what the word counts so far.
    """

    words: Context
    begun: str = ""
    waiting: bytes = b""
    counted: float = 0.0


class WordNgram:
    """A language model over words.

    Args:
        table: its n-grams.
        pieces: `Vocabulary.spellings`.
        fusion: how much it counts.
        skipped: tokens that are no text.
    Raises:
        NgramError: the table has no <unk> or <s>, or its file does not hold its words.
    """

    def __init__(
        self,
        table: Table,
        pieces: Sequence[Piece],
        fusion: Fusion | float,
        skipped: frozenset[int] = frozenset(),
    ) -> None:
        self._table, self._pieces, self._skipped = table, pieces, skipped
        self._fusion = Fusion.of(fusion)
        self._factor = self._fusion.weight * math.log(10.0)
        unknown = table.word(UNKNOWN)
        if unknown is None:
            raise NgramError(f"n-gram: a model over words wants {UNKNOWN}")
        self._unknown = unknown
        self.start = WordContext(beginning(table))
        self._best = _best_by_prefix(table)
        self._unknown_best = log10_probability(table, (), unknown)
        self._scores: dict[tuple[WordContext, int], tuple[float, WordContext]] = {}

    def step(self, context: WordContext, token: int) -> tuple[float, WordContext]:
        """Return what a token adds to the score, natural log, and the context after it."""
        if token in self._skipped:
            return 0.0, context
        scored = self._scores.get((context, token))
        if scored is None:
            if len(self._scores) >= REMEMBERED:
                self._scores.clear()
            scored = self._scores[context, token] = self._step(context, self._pieces[token])
        return scored

    def ending(self, context: WordContext) -> float:
        """Return what the last word still lacks, complete as it is (rule 2)."""
        word = context.begun + flush(context.waiting)
        return self._complete(context.words, word)[0] - context.counted if word else 0.0

    def _step(self, context: WordContext, piece: Piece) -> tuple[float, WordContext]:
        words, begun, waiting, counted = context
        text, waiting = add(waiting, piece)
        score = 0.0
        *complete, last = text.replace(" ", WORD_MARK).split(WORD_MARK)
        for more in complete:
            if word := begun + more:
                value, words = self._complete(words, word)
                score += value - counted
            begun, counted = "", 0.0
        begun += last
        if last:
            expected = self._expected(begun)
            score, counted = score + expected - counted, expected
        return score, WordContext(words, begun, waiting, counted)

    def _complete(self, words: Context, text: str) -> tuple[float, Context]:
        word = self._table.word(text)
        unknown = word is None or word == self._unknown
        word = self._unknown if word is None else word
        score = self._factor * log10_probability(self._table, words, word)
        return self._with_bonus(score, unknown), followed(self._table, words, word)

    def _expected(self, begun: str) -> float:
        best = self._best.get(begun)
        known = self._unknown_best if best is None else best
        return self._with_bonus(self._factor * known, best is None)

    def _with_bonus(self, score: float, unknown: bool) -> float:
        score += self._fusion.word_bonus
        return score - self._fusion.unknown_penalty if unknown else score


def is_over_words(table: Table, pieces: Sequence[str]) -> bool:
    """Return whether a language model is over words, not over pieces: it has none that begins with the word mark."""
    marked = [piece for piece in pieces if piece.startswith(WORD_MARK)]
    return bool(marked) and all(table.word(piece) is None for piece in marked)


def _best_by_prefix(table: Table) -> dict[str, float]:
    """Return, of all first characters that words have, the best log10 probability of those words (rule 1)."""
    best: dict[str, float] = {}
    for text in table.words():
        word = table.word(text)
        if text in (UNKNOWN, BEGIN, END) or word is None:
            continue
        value = log10_probability(table, (), word)
        for length in range(1, len(text) + 1):
            prefix = text[:length]
            if value > best.get(prefix, -math.inf):
                best[prefix] = value
    return best
