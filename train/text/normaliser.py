"""Transcript normalisers: generation 1.4's one, and the levels of generation 1.14 (NUMERICS 7).

A charset names the characters that a model can write; what is left outside it is deleted last.
"""

from __future__ import annotations

import re
import string
from collections.abc import Iterable

from text_unidecode import unidecode

from train.text.levels import Level
from train.text.numbers import dehyphenated, numbers_to_words, separated
from train.text.standard import standardise
from train.text.symbols import shielded

CHARSET = " '" + string.ascii_lowercase
SYMBOLS = {"&": " and ", "+": " plus ", "%": " percent ", "@": " at "}
ABBREVIATIONS = {
    "mr": "mister",
    "dr": "doctor",
    "st": "saint",
    "co": "company",
    "jr": "junior",
    "maj": "major",
    "gen": "general",
    "drs": "doctors",
    "rev": "reverend",
    "lt": "lieutenant",
    "hon": "honorable",
    "sgt": "sergeant",
    "capt": "captain",
    "esq": "esquire",
    "ltd": "limited",
    "col": "colonel",
    "ft": "fort",
}
_TAG = re.compile(r"<[a-zA-Z_]+>")


def normalise_v1_4(text: str, charset: str = CHARSET) -> str:
    """Normalise a transcript as generation 1.4 does: punctuation becomes a space."""
    text = numbers_to_words(unidecode(text).lower())
    text = spaced(_abbreviations(text, "misess"), charset)
    return _scrub(" ".join(text.split()), charset)


def normalise(
    text: str,
    level: Level,
    charset: str = CHARSET,
    *,
    standard: bool = False,
    replacements: Iterable[tuple[str, str]] = (),
    remove_tags: bool = True,
    user_symbols: Iterable[str] = (),
) -> str:
    """Normalise a transcript as generation 1.14 does, or 1.4 where that is the level.

    Args:
        level: how much is changed; every level but "identity" ends with the charset.
        standard: whether spelling is standardised as for scoring (training only).
        replacements: (old, new) strings, replaced in order.
        remove_tags: whether `<tag>` is removed; else the charset gains < > _.
        user_symbols: tokens such as `<EOS>` that pass unchanged.
    """

    def changed(text: str) -> str:
        return _normalised(text, level, charset, standard, replacements, remove_tags)

    return shielded(text, user_symbols, changed)


def _normalised(
    text: str,
    level: Level,
    charset: str,
    standard: bool,
    replacements: Iterable[tuple[str, str]],
    remove_tags: bool,
) -> str:
    if level in ("ascii", "digit_to_word"):
        text = unidecode(text)
    if level == "digit_to_word":
        text = numbers_to_words(separated(text))
        text = text if "-" in charset else dehyphenated(text)
    if level == "lowercase":
        text = lowercased(text, charset)
    if level == "v1.4":
        text = normalise_v1_4(text, charset)
    if standard:
        text = standardise(text)
    for old, new in replacements:
        text = text.replace(old, new)
    text = _TAG.sub("", text) if remove_tags else text
    if level != "identity":
        text = _scrub(text, charset if remove_tags else charset + "<>_")
    return text


def lowercased(text: str, charset: str = CHARSET) -> str:
    """Run generation 1.14's lowercase chain, the charset aside: punctuation stays for later."""
    text = numbers_to_words(separated(unidecode(text).lower()))
    text = text if "-" in charset else dehyphenated(text)
    text = _abbreviations(text, "missus")
    for symbol, word in (*SYMBOLS.items(), (":", " ")):
        if symbol not in charset:
            text = text.replace(symbol, word)
    return " ".join(text.split())


def spaced(text: str, charset: str) -> str:
    """Put a space, or a symbol's word, for every ASCII punctuation sign outside the charset."""
    for sign in string.punctuation:
        if sign not in charset:
            text = text.replace(sign, SYMBOLS.get(sign, " "))
    return text


def standardise_wer(text: str) -> str:
    """Bring a reference or a hypothesis to the form in which words are counted (NUMERICS 7.3)."""
    return standardise(" ".join(spaced(lowercased(text), CHARSET + "<>").split()))


def _abbreviations(text: str, mrs: str) -> str:
    for short, long in {**ABBREVIATIONS, "mrs": mrs}.items():
        text = re.sub(rf"\b{short}\.", long, text)
    return text


def _scrub(text: str, charset: str) -> str:
    return "".join(character for character in text if character in charset)
