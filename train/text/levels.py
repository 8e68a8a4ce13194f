"""Levels of normalisation of a transcript, by name; `train.text.normaliser` computes them.

"v1.4" is the one normaliser of generation 1.4; the others are the levels of generation 1.14.
"""

from __future__ import annotations

from typing import Literal, get_args

__all__ = ["LEVELS", "Level"]

Level = Literal["identity", "scrub", "ascii", "digit_to_word", "lowercase", "v1.4"]
LEVELS: tuple[Level, ...] = get_args(Level)
