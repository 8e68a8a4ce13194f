"""Spelling: whether a model's tokenizer has pieces for every character of some transcripts.

A character without a piece becomes `<unk>`: in training it teaches the model to say nothing in
particular, and in validation a word that has it can never be right. A tokenizer with byte fallback spells
everything.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from stream.errors import ArgumentError
from stream.manifest import ManifestError
from stream.vocabulary import Vocabulary

SHOWN = 8  # characters and words, the most frequent first


class Transcribed(Protocol):
    """An utterance, as of a manifest: its text, and where it stands."""

    @property
    def text(self) -> str: ...
    @property
    def manifest(self) -> Path | None: ...
    @property
    def line(self) -> int: ...


@dataclass(frozen=True)
class Unspelt:
    """What a tokenizer cannot spell of some transcripts.

    Attributes:
        characters, words: how often each occurs that has no pieces, or holds such a character.
        transcripts: how many have one, and of how many.
        example: the first of them.
        small: whether all could be spelt in small letters.
    """

    characters: Counter[str]
    words: Counter[str]
    transcripts: tuple[int, int]
    example: Transcribed
    small: bool

    def __str__(self) -> str:
        few, many = self.transcripts
        return (
            f"the tokenizer cannot spell {few} of {many} transcripts, "
            f"such as {self.example.text!r}. It has no {_most(self.characters)}; "
            f"words with them: {_most(self.words)}."
        )


def unspelt(vocabulary: Vocabulary, utterances: Sequence[Transcribed]) -> Unspelt | None:
    """Return what cannot be spelt of the transcripts, or None."""
    characters: Counter[str] = Counter()
    words: Counter[str] = Counter()
    found: list[Transcribed] = []
    small = True
    for utterance in utterances:
        unknown = Counter("".join(vocabulary.unknown(utterance.text)))
        if unknown:
            found.append(utterance)
            characters += unknown
            words.update(word for word in utterance.text.split() if unknown.keys() & set(word))
            small = small and not vocabulary.unknown(utterance.text.lower())
    if not found:
        return None
    return Unspelt(characters, words, (len(found), len(utterances)), found[0], small)


def check_spelling(
    vocabulary: Vocabulary, utterances: Sequence[Transcribed], normalise: str, allow: str
) -> None:
    """Refuse transcripts that cannot be spelt.

    Args:
        normalise: the option that lower-cases and normalises transcripts, for the message.
        allow: the option that takes them as they are.
    Raises:
        ManifestError: there are some; it shows which characters and words, and how often.
    """
    missing = unspelt(vocabulary, utterances)
    if missing is None:
        return
    advice = (
        f"They can be spelt in small letters: {normalise}"
        if missing.small
        else f"Normalise them, as with {normalise}, or use a tokenizer that has them"
    )
    where = missing.example
    message = f"{missing} {advice}. To take them as <unk>: {allow}."
    if where.manifest is None:
        raise ArgumentError(message)
    raise ManifestError(where.manifest, where.line, message)


def _most(counts: Counter[str]) -> str:
    shown = ", ".join(f"{name!r} ({count})" for name, count in counts.most_common(SHOWN))
    return shown + (f" and {len(counts) - SHOWN} more" if len(counts) > SHOWN else "")
