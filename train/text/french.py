"""French figures in words: numbers, times, amounts, units, ordinals; and titles such as M. before a name.

Numbers have the hyphens of 1835, inside what is less than a hundred: vingt et un, quatre-vingt-dix, deux cents.
In this order, the first that fits:

    M. Dupont        monsieur Dupont        titles before a capital
    14 h 30, 14:30   quatorze heures trente
    3,50 €           trois euros cinquante
    1er, 2e          premier, deuxième
    3,5 kg           trois virgule cinq kilogrammes     one below two
    06 12            zéro six douze         leading zeros are read, as in telephone numbers
    12, -5           douze, moins cinq
"""

from __future__ import annotations

import functools
import re

UNITS = [
    "zéro",
    "un",
    "deux",
    "trois",
    "quatre",
    "cinq",
    "six",
    "sept",
    "huit",
    "neuf",
    "dix",
    "onze",
    "douze",
    "treize",
    "quatorze",
    "quinze",
    "seize",
    "dix-sept",
    "dix-huit",
    "dix-neuf",
]
TENS = {2: "vingt", 3: "trente", 4: "quarante", 5: "cinquante", 6: "soixante"}
# Words of three figures more, and whether they have a plural.
SCALES = ((10**9, "milliard"), (10**6, "million"))
LONGEST = 12  # figures that are read as one number; longer ones are read figure by figure

TITLES = {
    "M": "monsieur",
    "MM": "messieurs",
    "Mme": "madame",
    "Mmes": "mesdames",
    "Mlle": "mademoiselle",
    "Mlles": "mesdemoiselles",
    "Dr": "docteur",
    "Pr": "professeur",
}
# Singular, and whether it is feminine; the plural has an s behind the first word.
MEASURES = {
    "kg": ("kilogramme", False),
    "g": ("gramme", False),
    "mg": ("milligramme", False),
    "t": ("tonne", True),
    "km/h": ("kilomètre-heure", False),
    "km": ("kilomètre", False),
    "m": ("mètre", False),
    "cm": ("centimètre", False),
    "mm": ("millimètre", False),
    "l": ("litre", False),
    "L": ("litre", False),
    "cl": ("centilitre", False),
    "ml": ("millilitre", False),
    "ha": ("hectare", False),
    "min": ("minute", True),
    "s": ("seconde", True),
    "°C": ("degré", False),
    "°": ("degré", False),
    "%": ("pour cent", False),
}
CURRENCIES = {"€": ("euro", False), "$": ("dollar", False), "£": ("livre", True)}
IRREGULAR = {"un": "unième", "cinq": "cinquième", "neuf": "neuvième"}

_TITLE = re.compile(r"\b(M|MM|Mmes?|Mlles?|Dr|Pr)\b\.?(?=\s+[A-ZÀ-ÖØ-Þ])")
_TIME = re.compile(
    r"(?<![\d,.:])([01]?\d|2[0-4])(?:\s?h(?:eures?)?(?![^\W\d_])(?:\s?([0-5]\d))?|:([0-5]\d))(?![\d:])"
)
_AMOUNT = re.compile(r"(?<![\d,.])(\d+)(?:,(\d\d?))?\s?([€$£])(?:\s?(\d\d)(?!\d))?")
_ORDINAL = re.compile(r"(?<![\d,.])(\d+)(ers?|res?|ères?|e|es|èmes?|nds?|ndes?)\b")
_MEASURE = re.compile(
    r"(?<![\d,.])(\d+)(?:,(\d+))?\s?("
    + "|".join(sorted(map(re.escape, MEASURES), key=len, reverse=True))
    + r")(?![\w/²³])"
)
_DECIMAL = re.compile(r"(\d+),(\d+)")
_MINUS = re.compile(r"(?<![\w)])[-−](?=\d)")
_INTEGER = re.compile(r"\d+")


def read_out(text: str) -> str:
    """Return a text with its figures in words; what stands between thousands has been removed."""
    text = _TITLE.sub(lambda match: _title(match[1], match.start() == 0), text)
    text = re.sub(r"\b[nN]°\s?(?=\d)", "numéro ", text)
    text = _MINUS.sub("moins ", text)
    text = _TIME.sub(lambda match: _time(match[1], match[2] or match[3]), text)
    text = _AMOUNT.sub(lambda match: _amount(match[1], match[2] or match[4], match[3]), text)
    text = _ORDINAL.sub(lambda match: _ordinal(match[1], match[2]), text)
    text = _MEASURE.sub(lambda match: _measure(match[1], match[2], *MEASURES[match[3]]), text)
    text = _DECIMAL.sub(lambda match: _decimal(match[1], match[2]), text)
    return _INTEGER.sub(lambda match: _digits(match[0]), text)


@functools.lru_cache(4096)
def cardinal(number: int, feminine: bool = False) -> str:
    """Return a number, from 0 to 999,999,999,999, in words.

    Args:
        feminine: whether its last "un" is "une".
    """
    if number == 0:
        return UNITS[0]
    words: list[str] = []
    for scale, name in SCALES:
        count, number = divmod(number, scale)
        if count:
            words += [_hundreds(count, plural=True), name + "s" * (count > 1)]
    thousands, rest = divmod(number, 1000)
    if thousands:
        words += [_hundreds(thousands, plural=False)] * (thousands > 1) + ["mille"]
    if rest:
        words.append(_hundreds(rest, plural=True))
    said = " ".join(words)
    return said + "e" if feminine and re.search(r"\bun$", said) else said


def _hundreds(number: int, plural: bool) -> str:
    """Return 1 to 999; `plural`: whether cent and vingt may have an s, as they do not before mille."""
    hundreds, rest = divmod(number, 100)
    words = [UNITS[hundreds]] * (hundreds > 1)
    if hundreds:
        words.append("cent" + "s" * (plural and hundreds > 1 and not rest))
    if rest:
        words.append(_tens(rest, plural))
    return " ".join(words)


def _tens(number: int, plural: bool) -> str:
    tens, units = divmod(number, 10)
    if number < 20:
        return UNITS[number]
    if tens in (7, 9):  # counted from sixty and eighty
        tens, units = tens - 1, units + 10
    if tens == 8:
        return f"quatre-vingt-{UNITS[units]}" if units else "quatre-vingt" + "s" * plural
    if units in (1, 11):
        return f"{TENS[tens]} et {UNITS[units]}"
    return f"{TENS[tens]}-{UNITS[units]}" if units else TENS[tens]


def _digits(figures: str, feminine: bool = False) -> str:
    """Return figures as a number, their leading zeros one by one."""
    if len(figures) > LONGEST:
        return " ".join(UNITS[int(figure)] for figure in figures)
    rest = figures.lstrip("0")
    zeros = [UNITS[0]] * (len(figures) - len(rest))
    return " ".join([*zeros, *([cardinal(int(rest), feminine)] if rest else [])])


def _decimal(whole: str, part: str) -> str:
    return f"{_digits(whole)} virgule {_digits(part)}"


def _counted(number: float, words: str) -> str:
    """Return the plural of words from two on."""
    if number < 2 or words == "pour cent":
        return words
    first, hyphen, rest = words.partition("-")
    return f"{first}s{hyphen}{rest}"


def _measure(whole: str, part: str | None, name: str, feminine: bool) -> str:
    number = _decimal(whole, part) if part else _digits(whole, feminine)
    return _joined(number, _counted(int(whole), name))


def _joined(number: str, words: str) -> str:
    """Return a number and what it counts: un million d'euros, deux cents euros."""
    if not number.endswith(("million", "millions", "milliard", "milliards")):
        return f"{number} {words}"
    return f"{number} d'{words}" if words[0] in "eh" else f"{number} de {words}"


def _time(hours: str, minutes: str | None) -> str:
    said = f"{cardinal(int(hours), feminine=True)} {_counted(int(hours), 'heure')}"
    number = int(minutes or 0)
    return f"{said} {cardinal(number, feminine=True)}" if number else said


def _amount(whole: str, cents: str | None, sign: str) -> str:
    name, feminine = CURRENCIES[sign]
    said = _joined(_digits(whole, feminine), _counted(int(whole), name))
    number = int((cents or "").ljust(2, "0"))
    return f"{said} {cardinal(number)}" if number else said


def _ordinal(figures: str, ending: str) -> str:
    if len(figures) > LONGEST:
        return f"{_digits(figures)} {ending}"
    number = int(figures)
    plural = "s" * ending.endswith("s")
    if number == 1 and ending[0] in "erè" and ending not in ("e", "es", "ème", "èmes"):
        return ("premier" if ending.startswith("er") else "première") + plural
    if number == 2 and ending.startswith("nd"):
        return ("seconde" if "e" in ending else "second") + plural
    *before, last = re.split(r"([ -])", cardinal(number))
    last = last.removesuffix("s") if last in ("cents", "vingts", "millions", "milliards") else last
    return "".join(before) + IRREGULAR.get(last, last.removesuffix("e") + "ième") + plural


def _title(short: str, first: bool) -> str:
    title = TITLES[short]
    return title.capitalize() if first else title
