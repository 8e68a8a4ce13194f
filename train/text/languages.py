"""Transcripts by the rules of a language: small letters, apostrophes and spaces, and nothing else but figures.

1. Letters are small, and composed (NFC). `<tags>` are removed.
2. A letter that the language does not have loses its accents: "señor" is "senor" in French.
3. An apostrophe, straight or curly, stays inside a word: "l'homme". Elsewhere it is a quotation mark.
4. Everything else is a space, the hyphen too: "peut-être" is "peut être".
5. Figures stay. How they are read depends on what they mean, so a tokenizer without them refuses the
   transcript, and nothing is lost in silence.

Options change this:

    numbers      figures, units and abbreviated titles are read out first (`train.text.figures`)
    cased        letters keep their case
    punctuated   . , ? ! : ; stay behind a word, and hyphens inside one
    ascii        in the end all letters lose their accents, "œuvre" is "oeuvre": the alphabet of English, for models
                 that start from an English one with its tokenizer
"""

from __future__ import annotations

import re
import string
import unicodedata
from collections.abc import Collection, Mapping
from types import MappingProxyType

from train.text.figures import read_out
from train.text.levels import Language

LETTERS: Mapping[Language, str] = MappingProxyType(  # besides a to z
    {
        "de": "äöüß",
        "en": "",
        "es": "áéíñóúü",
        "fr": "àâæçèéêëîïôùûüÿœ",
        "it": "àèéìíîòóùú",
        "nl": "áèéëíïóöúü",
        "pt": "àáâãçéêíóôõúü",
    }
)
SIGNS = ".,?!:;"
HYPHENS = str.maketrans(dict.fromkeys("‐‑", "-"))
APOSTROPHES = str.maketrans(dict.fromkeys("’ʼ‘`´", "'"))
_TAG = re.compile(r"<[a-zA-Z_]+>")
_QUOTE = re.compile(r"(?<!\w)'|'(?!\w)")
_LOOSE_HYPHEN = re.compile(r"(?<!\w)-|-(?!\w)")
_BEFORE_SIGN = re.compile(rf"\s+(?=[{SIGNS}])")
_LOOSE_SIGN = re.compile(rf"(?<![\w'])[{SIGNS}]+")
_SEVERAL_SIGNS = re.compile(rf"([{SIGNS}])[{SIGNS}]+")


def in_language(text: str, language: Language, options: Collection[str] = ()) -> str:
    """Return a transcript by the rules above."""
    text = unicodedata.normalize("NFC", _TAG.sub("", text).translate(APOSTROPHES))
    if "numbers" in options:
        text = read_out(text, language)
    if "cased" not in options:
        text = text.lower()
    known = letters_of(language, {"cased"})
    text = "".join(c if c in known or not c.isalpha() else _plain(c) for c in text)
    if "cased" not in options:
        text = text.lower()
    punctuated = "punctuated" in options
    stays = "'" + (SIGNS + "-" if punctuated else "")
    text = text.translate(HYPHENS)
    text = "".join(_kept(c, stays) for c in text)
    text = _QUOTE.sub(" ", text)
    if punctuated:
        text = _BEFORE_SIGN.sub("", _LOOSE_HYPHEN.sub(" ", text))
        text = _SEVERAL_SIGNS.sub(r"\1", _LOOSE_SIGN.sub(" ", text))
    if "ascii" in options:
        text = "".join(_plain(c) if c.isalpha() else c for c in text)
    return " ".join(text.split())


def letters_of(language: Language, options: Collection[str] = ()) -> str:
    """Return the characters besides space and figures that the rules of a language leave."""
    letters = string.ascii_lowercase + ("" if "ascii" in options else LETTERS[language])
    if "cased" in options:
        letters += "".join(c.upper() for c in letters if len(c.upper()) == 1)
    return letters + "'" + (SIGNS + "-" if "punctuated" in options else "")


def _plain(letter: str) -> str:
    """Return a letter as letters of ASCII."""
    from text_unidecode import unidecode

    return str(unidecode(letter))


def _kept(character: str, stays: str) -> str:
    if character.isalnum() or character in stays:
        return character
    return "" if unicodedata.combining(character) else " "  # "İ" is an i and a dot in lower case
