"""Transcripts by the rules of a language: small letters, apostrophes and spaces, and nothing else but figures.

1. Letters are small, and composed (NFC). `<tags>` are removed.
2. A letter that the language does not have loses its accents: "señor" is "senor" in French.
3. An apostrophe, straight or curly, stays inside a word: "l'homme". Elsewhere it is a quotation mark.
4. Everything else is a space, the hyphen too: "peut-être" is "peut être".
5. Figures stay. How they are read depends on what they mean, so a tokenizer without them refuses the
   transcript, and nothing is lost in silence.
"""

from __future__ import annotations

import re
import string
import unicodedata
from collections.abc import Mapping
from types import MappingProxyType

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
APOSTROPHES = str.maketrans(dict.fromkeys("’ʼ‘`´", "'"))
_TAG = re.compile(r"<[a-zA-Z_]+>")
_QUOTE = re.compile(r"(?<!\w)'|'(?!\w)")


def in_language(text: str, language: Language) -> str:
    """Return a transcript by the rules above."""
    from text_unidecode import unidecode

    known = string.ascii_lowercase + LETTERS[language]
    text = unicodedata.normalize("NFC", _TAG.sub("", text).translate(APOSTROPHES)).lower()
    text = "".join(c if c in known or not c.isalpha() else unidecode(c).lower() for c in text)
    text = "".join(c if c.isalnum() or c == "'" else " " for c in text)
    return " ".join(_QUOTE.sub(" ", text).split())
