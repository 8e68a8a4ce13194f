"""Where two transcripts of the same recording diverge, by token or, where there are none, by word.

1. Tokens are compared by their text, so that models with different vocabularies can be compared.
2. Where both have tokens and their texts differ, they diverge at the first that differs, at the frame
   of the earlier of the two there.
3. Where only frames differ, the same words came at another time: `moved`, no disagreement.
4. Where one has no tokens (a server), words are compared, and the frame is that of the token in the
   other with which the first differing word begins; None if the difference is after its last word.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from export.compare.artefacts import Decoded, Emitted
from stream.error_rate import word_error_rate


@dataclass(frozen=True)
class Divergence:
    """Where one transcript diverges from another.

    Attributes:
        index: of the first token, or word, that differs.
        step: encoder frame of it; None where it is not known.
        edits: tokens, or words, that have to change.
        moved: whether only frames differ (rule 3).
    """

    index: int
    step: int | None
    edits: int
    moved: bool = False


def diverge(reference: Decoded, other: Decoded) -> Divergence | None:
    """Return where `other` diverges from `reference`; None where they are the same."""
    if reference.tokens is not None and other.tokens is not None:
        return _by_token(reference.tokens, other.tokens)
    ours, theirs = reference.text.split(), other.text.split()
    index = _first(ours, theirs)
    if index is None:
        return None
    tokens = other.tokens if reference.tokens is None else reference.tokens
    return Divergence(index, _step_of_word(tokens or (), index), edits(ours, theirs))


def edits(reference: Sequence[str], other: Sequence[str]) -> int:
    """Return the fewest units to replace, remove or add that turn one sequence into the other."""
    number = {text: str(i) for i, text in enumerate(dict.fromkeys([*reference, *other]))}
    rate = word_error_rate(
        [" ".join(number[text] for text in reference)], [" ".join(number[text] for text in other)]
    )
    return rate.substitutions + rate.deletions + rate.insertions


def _by_token(reference: Sequence[Emitted], other: Sequence[Emitted]) -> Divergence | None:
    ours, theirs = ([token.text for token in tokens] for tokens in (reference, other))
    index = _first(ours, theirs)
    moved = index is None
    if index is None:
        index = _first(reference, other)
    if index is None:
        return None
    step = min(tokens[index].step for tokens in (reference, other) if index < len(tokens))
    return Divergence(index, step, 0 if moved else edits(ours, theirs), moved)


def _first(a: Sequence[object], b: Sequence[object]) -> int | None:
    """Return the first index at which two sequences differ."""
    for index in range(max(len(a), len(b))):
        if a[index : index + 1] != b[index : index + 1]:
            return index
    return None


def _step_of_word(tokens: Sequence[Emitted], index: int) -> int | None:
    text = ""
    for token in tokens:
        text += token.text
        if len(text.split()) > index:
            return token.step
    return None
