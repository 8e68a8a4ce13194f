"""Corpus error rates: all edits over all reference units (NUMERICS 7.4), by jiwer.

Texts are compared as they are; the caller normalises them and says how.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Self, TypeAlias

import jiwer

Pair: TypeAlias = tuple[str | None, str | None]  # a word said and a word heard


@dataclass(frozen=True)
class ErrorRate:
    """Edits of a corpus.

    Attributes:
        words: reference units.
        substitutions, deletions, insertions: edits that turn the references into the hypotheses.
    """

    words: int
    substitutions: int
    deletions: int
    insertions: int

    @classmethod
    def of(cls, pairs: Iterable[Pair]) -> Self:
        """Return the edits of aligned words."""
        words = substitutions = deletions = insertions = 0
        for said, heard in pairs:
            words += said is not None
            deletions += heard is None
            insertions += said is None
            substitutions += None not in (said, heard) and said != heard
        return cls(words, substitutions, deletions, insertions)

    @property
    def edits(self) -> int:
        """Substitutions, deletions and insertions."""
        return self.substitutions + self.deletions + self.insertions

    @property
    def wer(self) -> float:
        """Edits over reference units, a fraction; infinite where there are edits but no units."""
        if self.words == 0:
            return math.inf if self.edits else 0.0
        return self.edits / self.words


def word_error_rate(references: Sequence[str], hypotheses: Sequence[str]) -> ErrorRate:
    """Count word edits; words are separated by white space.

    Raises:
        ValueError: the two differ in their number of texts.
    """
    return _count(references, hypotheses, str.split)


def character_error_rate(references: Sequence[str], hypotheses: Sequence[str]) -> ErrorRate:
    """Count edits of characters other than white space."""
    return _count(references, hypotheses, lambda text: list("".join(text.split())))


def mixed_error_rate(references: Sequence[str], hypotheses: Sequence[str]) -> ErrorRate:
    """Count edits of CJK characters one by one, and of other text by words."""
    return _count(references, hypotheses, _mixed)


def aligned_words(references: Sequence[str], hypotheses: Sequence[str]) -> list[list[Pair]]:
    """Align words, separated by white space, as `word_error_rate` counts them.

    Returns:
        of each text the pairs in order: a word said and a word heard, equal or not; None stands for the missing
        one of a deletion or an insertion.
    Raises:
        ValueError: the two differ in their number of texts.
    """
    said, heard = [text.split() for text in references], [text.split() for text in hypotheses]
    if len(said) != len(heard):
        raise ValueError(f"{len(said)} references, but {len(heard)} hypotheses")
    spoken = [i for i, words in enumerate(said) if words]  # jiwer refuses an empty reference
    aligned: list[list[Pair]] = [[(None, word) for word in words] for words in heard]
    if not spoken:
        return aligned
    wanted, found = ([" ".join(of[i]) for i in spoken] for of in (said, heard))
    chunks = jiwer.process_words(wanted, found)
    for i, row in zip(spoken, chunks.alignments, strict=True):
        aligned[i] = [
            pair
            for chunk in row
            for pair in itertools.zip_longest(
                said[i][chunk.ref_start_idx : chunk.ref_end_idx],
                heard[i][chunk.hyp_start_idx : chunk.hyp_end_idx],
            )
        ]
    return aligned


def has_ideographs(text: str) -> bool:
    """Return whether `mixed_error_rate` counts characters of a text one by one."""
    return any(map(_is_cjk, text))


def _mixed(text: str) -> list[str]:
    spaced = "".join(f" {c} " if _is_cjk(c) else c for c in text)
    return spaced.split()


def _is_cjk(character: str) -> bool:
    code = ord(character)
    return (
        0x4E00 <= code <= 0x9FFF  # unified ideographs
        or 0x3400 <= code <= 0x4DBF  # extension A
        or 0x20000 <= code <= 0x2FA1F  # extensions B to F, compatibility supplement
        or 0xF900 <= code <= 0xFAFF  # compatibility ideographs
        or 0x3040 <= code <= 0x30FF  # kana
        or 0xAC00 <= code <= 0xD7AF  # hangul syllables
    )


def _count(
    references: Sequence[str], hypotheses: Sequence[str], units: Callable[[str], list[str]]
) -> ErrorRate:
    if len(references) != len(hypotheses):
        raise ValueError(f"{len(references)} references, but {len(hypotheses)} hypotheses")
    words = insertions = 0
    wanted, found = [], []
    for reference, hypothesis in zip(references, hypotheses, strict=True):
        reference_units, hypothesis_units = units(reference), units(hypothesis)
        words += len(reference_units)
        if reference_units:
            # jiwer joins and splits again: one unit, one word without white space.
            wanted.append(" ".join(reference_units))
            found.append(" ".join(hypothesis_units))
        else:
            insertions += len(hypothesis_units)  # jiwer refuses an empty reference
    if not wanted:
        return ErrorRate(words, 0, 0, insertions)
    edits = jiwer.process_words(wanted, found)
    return ErrorRate(words, edits.substitutions, edits.deletions, insertions + edits.insertions)
