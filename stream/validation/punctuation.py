"""Punctuation error rate: how many marks are right where the words are (NUMERICS 7.4).

Words and marks of both texts are aligned with every mark counted as the same token, so that a wrong mark is
found at its place. Two marks that face each other are right or substituted; others are deleted or inserted. The
rate is the wrong marks over all of them, the inserted ones too, so it is never above 1 (Meister et al. 2023,
LibriSpeech-PC).
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

MARKS = ",.?"
_TOKENS = re.compile(rf"[\w']+|[{MARKS}]")


@dataclass(frozen=True)
class PunctuationErrors:
    """Marks of a corpus.

    Attributes:
        correct, substitutions: those that stand where the reference has one.
        deletions, insertions: those of one text alone.
    """

    correct: int
    substitutions: int
    deletions: int
    insertions: int

    @property
    def rate(self) -> float:
        """Wrong marks over all marks, a fraction; 0 where there are none."""
        wrong = self.substitutions + self.deletions + self.insertions
        return wrong / max(wrong + self.correct, 1)


def punctuation_errors(references: Sequence[str], hypotheses: Sequence[str]) -> PunctuationErrors:
    """Count the marks of a corpus.

    Raises:
        ValueError: the two differ in their number of texts.
    """
    if len(references) != len(hypotheses):
        raise ValueError(f"{len(references)} references, but {len(hypotheses)} hypotheses")
    correct = substitutions = deletions = insertions = 0
    for reference, hypothesis in zip(references, hypotheses, strict=True):
        said, heard = (_TOKENS.findall(punctuation_marks(text)) for text in (reference, hypothesis))
        facing = _facing(said, heard)
        right = sum(a == b for a, b in facing)
        correct += right
        substitutions += len(facing) - right
        deletions += _marks(said) - len(facing)
        insertions += _marks(heard) - len(facing)
    return PunctuationErrors(correct, substitutions, deletions, insertions)


def punctuation_marks(text: str) -> str:
    """Reduce punctuation to what is counted: comma, full stop, question mark."""
    return text.translate(str.maketrans(";:!-", ",.. ", '"'))


def _facing(said: Sequence[str], heard: Sequence[str]) -> list[tuple[str, str]]:
    """Return the pairs of marks that face each other in the alignment of fewest edits.

    Of alignments with as many edits the one of most substitutions is taken, as NeMo and Myrtle do: a mark that
    moved by a word is not right. jiwer's choice is another.
    """
    if not _marks(said) or not _marks(heard):
        return []
    left, right = (["," if token in MARKS else token for token in of] for of in (said, heard))
    costs = [list(range(len(right) + 1))]
    for i, token in enumerate(left):
        above, row = costs[-1], [i + 1]
        for j, other in enumerate(right):
            row.append(above[j] if token == other else 1 + min(above[j], row[j], above[j + 1]))
        costs.append(row)
    pairs: list[tuple[str, str]] = []
    i, j = len(left), len(right)
    while i and j:
        if left[i - 1] == right[j - 1] or costs[i][j] == 1 + costs[i - 1][j - 1]:
            i, j = i - 1, j - 1
            if left[i] == right[j] == ",":
                pairs.append((said[i], heard[j]))
        elif costs[i][j] == 1 + costs[i][j - 1]:
            j -= 1
        else:
            i -= 1
    return pairs


def _marks(tokens: Sequence[str]) -> int:
    return sum(token in MARKS for token in tokens)
