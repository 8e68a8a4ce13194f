"""Hotwords: likely words of a client, checked, and spelt with the pieces of a model.

Their effect on a decoder is in `stream.decoding.keywords`. Rules:

1. A hotword is a word, several words, or a part of one; with a space before it, it matches only at
   the start of a word. Its boost, natural log per character, is `BOOST` unless the client sets it;
   a negative boost makes it less likely.
2. What the model lacks is taken as what it has of the same, as rules for transcripts do: a capital letter as a small
   one, a curly apostrophe as a straight one, a hyphen as a space, a ligature as its letters, a letter as the one without
   accents. Letters are composed (NFC).
3. A hotword that the model cannot spell is an error, which names it. In protocols whose clients send
   all words they know, such words are left out instead (`Speller.spellable`).
"""

from __future__ import annotations

import itertools
import math
import unicodedata
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from server.limits import Limits
from stream.vocabulary import WORD_MARK, Alphabet

BOOST = 0.5
MOST_BOOST = 10.0
LOOKED_AT = 10
OTHERWISE = {"’": "'", "ʼ": "'", "-": " ", "‐": " ", "‑": " ", "œ": "oe", "æ": "ae", "ß": "ss"}


class HotwordError(ValueError):
    """Hotwords that cannot be served; the message is one sentence for the client."""


def parse_hotwords(value: str) -> dict[str, float]:
    """Read "word:boost,word": boosts by hotword.

    Raises:
        HotwordError: a boost is not a number in its range.
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
                    f"hotwords has the boost {number[:100]!r}; want a number after the colon"
                ) from error
        if not -MOST_BOOST <= boost <= MOST_BOOST or math.isnan(boost):
            raise HotwordError(
                f"hotwords has the boost {number[:100]!r}; want -{MOST_BOOST:g} to {MOST_BOOST:g}"
            )
        hotwords[word if colon else item] = boost
    return hotwords


@dataclass(frozen=True)
class Speller:
    """Turns hotwords into the keywords of a decoder.

    Attributes:
        alphabet: what the model spells.
        limits: how many hotwords a client may have, and of what length.
    """

    alphabet: Alphabet = field(default_factory=Alphabet)
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
        spelt = {}
        for hotword, boost in hotwords.items():
            if len(hotword) > self.limits.hotword_characters:
                raise HotwordError(
                    f"hotword {hotword[:100]!r} has {len(hotword)} characters; want "
                    f"{self.limits.hotword_characters} at most"
                )
            word = _folded(hotword, self.alphabet)
            if not word.strip():
                raise HotwordError("a hotword is empty; leave it out")
            if unknown := sorted(c for c in set(word) if not _spelt(c, self.alphabet)):
                raise HotwordError(
                    f"hotword {hotword!r} cannot be spelt: the model has no {unknown[0]!r}"
                )
            spelt[word] = boost
        return spelt

    def spellable(self, hotwords: Iterable[str]) -> dict[str, float]:
        """Return the hotwords that can be spelt, the first ones up to the limit.

        Of a long list, at most `LOOKED_AT` times the limit are looked at.
        """
        most = self.limits.hotwords
        fitting: dict[str, float] = {}
        for hotword in itertools.islice(hotwords, LOOKED_AT * most):
            if len(hotword) <= self.limits.hotword_characters and len(fitting) < most:
                word = _folded(hotword, self.alphabet)
                if word.strip() and all(_spelt(c, self.alphabet) for c in word):
                    fitting[word] = BOOST
        return fitting


def _spelt(character: str, alphabet: Alphabet) -> bool:
    return character == " " or (character != WORD_MARK and character in alphabet)


def _folded(hotword: str, alphabet: Alphabet) -> str:
    """Rule 2; and one space between words, as before the first."""
    characters = (_known(c, alphabet.characters) for c in unicodedata.normalize("NFC", hotword))
    return hotword[:1].isspace() * " " + " ".join("".join(characters).split())


def _known(character: str, known: frozenset[str]) -> str:
    """Return the first form of a character that is known; where none is, the character."""
    small = character.lower()
    plain = OTHERWISE.get(small) or unicodedata.normalize("NFD", small)[:1]
    for form in (character, small, plain):
        if known.issuperset(form.strip()):
            return form
    return character
