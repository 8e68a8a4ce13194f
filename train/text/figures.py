"""Figures read out: what the option `numbers` of a language's rules does.

English by `train.text.numbers`, French by `train.text.french`, whose times, units, amounts and titles are read out
as well; other languages by the package num2words, cardinals and decimals alone.
"""

from __future__ import annotations

import re
from decimal import Decimal

from train.text.levels import Language

SPACES = " \u00a0\u202f\u2009"  # what stands between thousands: plain, no-break, narrow and thin
_THOUSANDS = re.compile(rf"(?<![\d.,])[1-9]\d{{0,2}}(?:[{SPACES}]\d{{3}})+(?!\d)")
_NUMBER = re.compile(r"\d+(?:,\d+)?")


def read_out(text: str, language: Language) -> str:
    """Return a text with its figures in words."""
    if language == "en":
        from train.text.numbers import dehyphenated, numbers_to_words, separated

        return dehyphenated(numbers_to_words(separated(text)))
    text = joined_thousands(text)
    if language == "fr":
        from train.text.french import read_out as in_french

        return in_french(text)
    return _NUMBER.sub(lambda match: f" {_by_num2words(match[0], language)} ", text)


def joined_thousands(text: str) -> str:
    """Return a text without the spaces in numbers such as 12 500; 01 23 45 67 89 is none."""
    return _THOUSANDS.sub(lambda match: re.sub(rf"[{SPACES}]", "", match[0]), text)


def _by_num2words(figures: str, language: Language) -> str:
    from num2words import num2words

    number = Decimal(figures.replace(",", ".")) if "," in figures else int(figures)
    return str(num2words(number, lang=language))
