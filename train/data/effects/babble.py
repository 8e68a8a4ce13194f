"""Babble: other people talking at once, made of the clips of the training set."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from train.data.mixing import blend, lengthened

__all__ = ["add_babble"]

Samples = NDArray[np.float32]


def add_babble(
    x: Samples,
    rng: np.random.Generator,
    draw: Callable[[np.random.Generator], Samples],
    voices: tuple[int, int],
    snr_db: tuple[float, float],
) -> Samples:
    """Add several voices, all equally loud, at a signal-to-noise ratio of U(snr_db) to their sum.

    Args:
        x: (n,) float32.
        draw: gives a clip, (m,) float32; a short one is repeated, of a long one a piece is heard.
        voices: range of their number. With one it is the babble of generation 1.14: the next utterance.
    """
    babble = np.zeros(len(x))
    for _ in range(rng.integers(voices[0], voices[1] + 1)):
        clip = lengthened(draw(rng), len(x))
        start = int(rng.integers(len(clip) - len(x) + 1))
        voice = clip[start : start + len(x)].astype(np.float64)
        babble += voice / max(float(np.sqrt(np.mean(voice**2))), 1e-9)
    return blend(x, babble, rng.uniform(*snr_db), 0.0).astype(np.float32)
