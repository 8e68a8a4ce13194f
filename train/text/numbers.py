"""Numbers in figures to English words, in the two ways of the two generations (NUMERICS 7.1, 7.2).

The order of the rules is part of the definition: amounts of money, thousands, decimals, ordinals,
integers. Generation 1.14 first separates what belongs to a number: "10am", "1-5", "-5", "8:05", and
writes cardinals without hyphens where the charset has none.
"""

from __future__ import annotations

import functools
import re

import inflect

_ENGINE = inflect.engine()
_AMOUNTS = re.compile(r"\$([0-9.,]*[0-9]) (million|billion|trillion|thousand)", re.IGNORECASE)
_THOUSANDS = re.compile(r"[0-9][0-9,]+[0-9]")
_POUNDS = re.compile(r"£([0-9,]*[0-9]+)")
_DOLLARS = re.compile(r"\$([0-9.,]*[0-9]+)")
_DECIMAL = re.compile(r"([0-9]+)\.([0-9]+)")
LARGEST = 36  # figures that have a name; longer numbers are read digit by digit
_ORDINAL = re.compile(rf"(?<![0-9])[0-9]{{1,{LARGEST}}}(?:st|nd|rd|th)", re.IGNORECASE)
_INTEGER = re.compile(r"[0-9]+")

_UNITS = ["one", "two", "three", "four", "five", "six", "seven", "eight", "nine"]
_TENS = ["twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety"]
# Generation 1.14 puts two spaces for the hyphen before a fraction's word; 21st and 22nd stay joined.
_FRACTIONS = ["half", "third", "fourth", "fifth", "sixth", "seventh", "eighth", "ninth"]


def separated(text: str) -> str:
    """Separate numbers from adjoining text, as generation 1.14 does before reading them."""
    text = re.sub(r"([0-9])([ap]m)\b", r"\1 \2", text, flags=re.IGNORECASE)
    text = re.sub(r"([0-9])-([0-9])", r"\1 to \2", text)
    text = re.sub(r"(^|\s)-([0-9])", r"\1minus \2", text)
    return re.sub(r"([0-9]):([0-9])", r"\1 \2", text)


def dehyphenated(text: str) -> str:
    """Write compound cardinals without their hyphen, as generation 1.14 does."""
    tens, units = "|".join(_TENS), "|".join(_UNITS)
    text = re.sub(rf"\b({tens})-({units})\b", r"\1 \2", text, flags=re.IGNORECASE)
    before = f"{tens}|{units}"
    return re.sub(rf"\b({before})-({'|'.join(_FRACTIONS)})\b", r"\1  \2", text, flags=re.IGNORECASE)


def numbers_to_words(text: str) -> str:
    """Replace every number in figures by words."""
    text = _AMOUNTS.sub(r"\1 \2 dollars", text)
    text = _THOUSANDS.sub(lambda match: match[0].replace(",", ""), text)
    text = _POUNDS.sub(r"\1 pounds", text)
    text = _DOLLARS.sub(lambda match: _dollars(match[1]), text)
    text = _DECIMAL.sub(r"\1 point \2", text)
    text = _ORDINAL.sub(lambda match: _words(match[0]), text)
    return _INTEGER.sub(lambda match: _integer(match[0]), text)


def _dollars(amount: str) -> str:
    parts = amount.replace(",", "").split(".")
    if len(parts) > 2:
        return f"{amount} dollars"
    dollars, cents = (part.lstrip("0") for part in (*parts, "")[:2])
    said = []
    if dollars:
        said.append(f"{dollars} dollar{'' if dollars == '1' else 's'}")
    if cents:
        said.append(f"{cents} cent{'' if cents == '1' else 's'}")
    return ", ".join(said) or "zero dollars"


def _integer(figures: str) -> str:
    if figures.startswith("0") or len(figures) > LARGEST:
        return _words(figures, group=1)  # digit by digit
    number = int(figures)
    if number > 1_000_000_000 and number % 10_000:
        return _words(figures, group=1)
    if 1000 < number < 3000:
        if number == 2000:
            return "two thousand"
        if 2000 < number < 2010:
            return f"two thousand {_words(str(number % 100))}"
        if number % 100 == 0:
            return f"{_words(str(number // 100))} hundred"
        return _words(figures, group=2, zero="oh").replace(", ", " ")  # as a year
    return _words(figures)


@functools.lru_cache(4096)
def _words(figures: str, group: int = 0, zero: str = "zero") -> str:
    return str(_ENGINE.number_to_words(figures, andword="", group=group, zero=zero))
