"""Names of what is done to a transcript before it is spelt: the values of `data.text`.

| name | what is done |
|---|---|
| as-is | nothing |
| lower | lower case, in any language |
| ascii, scrub, digit_to_word, lowercase | the levels of generation 1.14, for English (`Level`) |
| standard | lowercase, then the spelling in which words are counted: contractions in full, no fillers |
| v1.4 | the normaliser of generation 1.4 |
| de, en, es, fr, it, nl, pt | the rules of a language (`train.text.languages`) |

`train.text.normaliser` computes the levels; `train.text.transcripts` applies any of these.
"""

from __future__ import annotations

from typing import Literal, TypeAlias, get_args

Level = Literal["identity", "scrub", "ascii", "digit_to_word", "lowercase", "v1.4"]
Language = Literal["de", "en", "es", "fr", "it", "nl", "pt"]
TextRules: TypeAlias = Literal[
    "as-is",
    "lower",
    "standard",
    "ascii",
    "scrub",
    "digit_to_word",
    "lowercase",
    "v1.4",
    "de",
    "en",
    "es",
    "fr",
    "it",
    "nl",
    "pt",
]
LANGUAGES: tuple[Language, ...] = get_args(Language)
TEXT_RULES: tuple[TextRules, ...] = get_args(TextRules)
