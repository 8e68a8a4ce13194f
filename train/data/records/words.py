"""Words of a text with the times at which they sound, as manifests have them.

    "words": [["one", 0.12, 0.41], ["two", 0.55, 0.9]]

Times are seconds from the beginning of the utterance; null: not known. Objects {"word", "start", "end"}, as other
tools write them, are read too.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec


class TimedWord(msgspec.Struct, frozen=True, array_like=True):
    """A word, and when it begins and ends, seconds; None: not known."""

    text: str
    start: float | None = None
    end: float | None = None


class _Spelt(msgspec.Struct):
    word: str
    start: float | None = None
    end: float | None = None


def take_words(extra: dict[str, Any]) -> tuple[TimedWord, ...]:
    """Take the words out of what else a line says; nothing where its `words` are something else."""
    given = extra.get("words")
    if not isinstance(given, list) or not given:
        return ()
    try:
        words = msgspec.convert(given, tuple[TimedWord, ...])
    except msgspec.ValidationError:
        try:
            spelt = msgspec.convert(given, list[_Spelt])
        except msgspec.ValidationError:
            return ()
        words = tuple(TimedWord(each.word, each.start, each.end) for each in spelt)
    del extra["words"]
    return words


def listed_words(words: Sequence[TimedWord]) -> list[list[str | float | None]]:
    """Return words as a line has them."""
    return [[word.text, word.start, word.end] for word in words]
