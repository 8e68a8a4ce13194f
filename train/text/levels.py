"""Levels of normalisation of a transcript, by name; `train.text.normaliser` computes them."""

from __future__ import annotations

from typing import Literal, get_args

__all__ = ["LEVELS", "Level"]

Level = Literal["identity", "scrub", "ascii", "digit_to_word", "lowercase"]
LEVELS: tuple[Level, ...] = get_args(Level)
