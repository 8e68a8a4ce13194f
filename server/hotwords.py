"""Hotwords: the words that a client says are likely, checked and spelt with the pieces of a model.

What they do to a decoder is `stream.decoding.keywords`. Rules:

1. A hotword is a word, a few of them, or a part of one; with a space before it, only at the start of
   a word. Its boost, natural log for each character, is `BOOST` unless the client says otherwise, and
   discourages where negative.
2. A character that the model has only as a small letter is taken as one.
3. A hotword that no pieces of the model spell is a mistake, which names it. But protocols whose
   clients send whatever they know, unasked, have those left out (`Speller.spellable`).
"""

from __future__ import annotations

import itertools
import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from server.limits import Limits
from stream.vocabulary import WORD_MARK

__all__ = ["BOOST", "MOST_BOOST", "HotwordError", "Speller", "parse_hotwords"]

BOOST = 0.5
MOST_BOOST = 10.0
LOOKED_AT = 10
MARKED = re.compile(r"<.*>")  # a piece that spells nothing: <unk>, <EOS>, <0x41>


class HotwordError(ValueError):
    """Hotwords that cannot be served; the message is one sentence for the client."""


def parse_hotwords(value: str) -> dict[str, float]:
    """Read "word:boost,word": boosts by hotword.

    Raises:
        HotwordError: a boost is no number in its range.
    """
    hotwords = {}
    for item in filter(str.strip, value.split(",")):
        word, colon, number = item.rpartition(":")
        boost = BOOST
        if colon:
            try:
                boost = float(number)
            except ValueError as error:
                raise HotwordError(
                    f"hotwords has the boost {number[:100]!r}; want a number behind the colon"
                ) from error
        if not -MOST_BOOST <= boost <= MOST_BOOST or math.isnan(boost):
            raise HotwordError(
                f"hotwords has the boost {number[:100]!r}; want -{MOST_BOOST:g} to {MOST_BOOST:g}"
            )
        hotwords[word if colon else item] = boost
    return hotwords


@dataclass(frozen=True)
class Speller:
    """Makes hotwords what a decoder takes.

    Attributes:
        pieces: of the model's vocabulary, by token id.
        limits: how many hotwords a client may have, and how long.
    """

    pieces: Sequence[str] = ()
    limits: Limits = field(default_factory=Limits)

    def spell(self, hotwords: Mapping[str, float]) -> dict[str, float]:
        """Return the boosts of hotwords, as the model spells them.

        Raises:
            HotwordError: they are too many or too long, or one cannot be spelt.
        """
        if len(hotwords) > self.limits.hotwords:
            raise HotwordError(
                f"there are {len(hotwords)} hotwords; want {self.limits.hotwords} at most"
            )
        letters = self._letters() if hotwords else frozenset[str]()
        spelt = {}
        for hotword, boost in hotwords.items():
            if len(hotword) > self.limits.hotword_characters:
                raise HotwordError(
                    f"hotword {hotword[:100]!r} has {len(hotword)} characters; want "
                    f"{self.limits.hotword_characters} at most"
                )
            word = _folded(hotword, letters)
            if not word.strip():
                raise HotwordError("a hotword is empty; leave it out")
            if unknown := sorted(set(word) - letters - {" "}):
                raise HotwordError(
                    f"hotword {hotword!r} cannot be spelt: the model has no {unknown[0]!r}"
                )
            spelt[word] = boost
        return spelt

    def spellable(self, hotwords: Iterable[str]) -> dict[str, float]:
        """Return those of some hotwords that can be spelt, the first ones up to the limit.

        However long the list is, no more than `LOOKED_AT` times as many are looked at.
        """
        letters, most = self._letters(), self.limits.hotwords
        fitting: dict[str, float] = {}
        for hotword in itertools.islice(hotwords, LOOKED_AT * most):
            if len(hotword) <= self.limits.hotword_characters and len(fitting) < most:
                word = _folded(hotword, letters)
                if word.strip() and set(word) <= letters | {" "}:
                    fitting[word] = BOOST
        return fitting

    def _letters(self) -> frozenset[str]:
        spelling = (piece for piece in self.pieces if not MARKED.fullmatch(piece))
        return frozenset().union(*spelling) - {WORD_MARK}


def _folded(hotword: str, letters: frozenset[str]) -> str:
    """Rule 2; and one space between words, as before the first."""
    characters = (c.lower() if c not in letters and c.lower() in letters else c for c in hotword)
    return hotword[:1].isspace() * " " + " ".join("".join(characters).split())
