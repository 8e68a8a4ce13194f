"""Names of what is done to a transcript before it is spelt: the values of `data.text`.

| name | what is done |
|---|---|
| as-is | nothing |
| lower | lower case, in any language |
| ascii, scrub, digit_to_word, lowercase | the levels of generation 1.14, for English (`Level`) |
| standard | lowercase, then the spelling in which words are counted: contractions in full, no fillers |
| v1.4 | the normaliser of generation 1.4 |
| de, en, es, fr, it, nl, pt | the rules of a language (`train.text.languages`) |
| fr+numbers, fr+cased+punctuated, ... | the same with `OPTIONS` |
| FILE.py | what the function `normalise(text)` of a Python file does: a language of one's own |

`train.text.normaliser` computes the levels; `train.text.transcripts` applies any of these.
"""

from __future__ import annotations

import argparse
from typing import Literal, TypeAlias, get_args

Level = Literal["identity", "scrub", "ascii", "digit_to_word", "lowercase", "v1.4"]
Language = Literal["de", "en", "es", "fr", "it", "nl", "pt"]
Option = Literal["numbers", "cased", "punctuated", "ascii"]
TextRules: TypeAlias = str
LANGUAGES: tuple[Language, ...] = get_args(Language)
OPTIONS: tuple[Option, ...] = get_args(Option)
TEXT_RULES: tuple[TextRules, ...] = (
    "as-is",
    "lower",
    "standard",
    "ascii",
    "scrub",
    "digit_to_word",
    "lowercase",
    "v1.4",
    *LANGUAGES,
)
SHOWN = f"{', '.join(TEXT_RULES)}; a language with +{', +'.join(OPTIONS)}; or FILE.py"


def options_of(rules: TextRules) -> tuple[str, frozenset[str]]:
    """Return the name of rules and their options: "fr" and {"numbers"} of "fr+numbers".

    Raises:
        ValueError: there are no such rules.
    """
    if rules.endswith(".py"):
        return rules, frozenset()
    name, *options = rules.split("+")
    if name not in TEXT_RULES:
        raise ValueError(f"{rules!r}: want one of {SHOWN}")
    if options and name not in LANGUAGES:
        raise ValueError(f"{rules!r}: options belong to the rules of a language, as in fr+numbers")
    if unknown := sorted(set(options) - set(OPTIONS)):
        raise ValueError(f"{rules!r}: no option {unknown[0]!r}; there are {', '.join(OPTIONS)}")
    return name, frozenset(options)


def text_rules(rules: str) -> TextRules:
    """Return rules as they are named on a command line, checked: a type of argparse."""
    try:
        options_of(rules)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from error
    return rules
