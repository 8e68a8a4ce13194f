"""Standard spelling for scoring: two texts that say the same are written the same (NUMERICS 7.3).

The tables (contractions and titles, British spelling) are those of OpenAI Whisper's English
normaliser, by the package whisper-normalizer. Generation 1.14 differs from it:

1. Numbers are left alone, and so are parentheses' contents and apostrophes.
2. `'s` is "is" after six words only; elsewhere it is a possessive, as in "the neighbour's", and stays.
   Before been, gone and got it is "has", and "let's" is "let us", as in Whisper's.
3. Three fillers more are dropped: mmhmm, uhhuh, huh.
"""

from __future__ import annotations

import functools
import re

from whisper_normalizer.basic import remove_symbols_and_diacritics
from whisper_normalizer.english import EnglishTextNormalizer

KEPT_SYMBOLS = ".%$¢€£'"
FILLERS = r"\b(hmm|mm|mhm|mmm|uh|um|mmhmm|uhhuh|huh)\b"
WHISPER_IS = r"'s\b"  # Whisper's own rule, in the place of which stands
IS = r"\b(it|he|she|that|what|there)'s\b"


def standardise(text: str) -> str:
    """Expand contractions and titles, drop fillers and symbols, spell the American way."""
    tables = _tables()
    text = re.sub(r"[<\[][^>\]]*[>\]]", "", text.lower())
    text = re.sub(FILLERS, "", text)
    text = re.sub(r"\s+'", "'", text)
    for pattern, replacement in tables.replacers.items():
        if pattern == WHISPER_IS:
            pattern, replacement = IS, r"\1 is"
        text = re.sub(pattern, replacement, text)
    text = re.sub(r"(\d),(\d)", r"\1\2", text)
    text = re.sub(r"\.([^0-9]|$)", r" \1", text)
    text = remove_symbols_and_diacritics(text, keep=KEPT_SYMBOLS)
    text = tables.standardize_spellings(text)
    text = re.sub(r"[.$¢€£]([^0-9])", r" \1", text)
    text = re.sub(r"([^0-9])%", r"\1 ", text)
    return re.sub(r"\s+", " ", text)


@functools.cache
def _tables() -> EnglishTextNormalizer:
    return EnglishTextNormalizer()
