"""Levels: a clip louder or softer."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Samples = NDArray[np.float32]
Generator = np.random.Generator


def gain(x: Samples, rng: Generator, decibels: tuple[float, float]) -> Samples:
    """Change the level by U(decibels), as far as no sample leaves [-1, 1]."""
    factor = 10.0 ** (rng.uniform(*decibels) / 20.0)
    peak = float(np.abs(x).max(initial=0.0))
    if peak > 0.0:
        factor = min(factor, 1.0 / peak)
    return x * np.float32(factor)
