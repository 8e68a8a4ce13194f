"""Trimming: cut the silence before the first and after the last sound of a clip.

Like DALI's non-silent region, which generation 1.14 trains with: the power of a sliding window, relative to
the largest one (NUMERICS 1.7).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Samples = NDArray[np.float32]

WINDOW = 2048  # samples, 128 ms


def trimmed(x: Samples, below_db: float, keep: int) -> Samples:
    """Return a clip without its outer silence.

    Args:
        x: (n,) float32.
        below_db: what is so much quieter than the loudest window is silence; below 0.
        keep: samples of silence left at either end.
    Returns:
        (m,) float32, a view; all of it where nothing is heard, never nothing.
    """
    window = min(WINDOW, len(x))
    if not window:
        return x
    sums = np.concatenate([[0.0], np.cumsum(x.astype(np.float64) ** 2)])
    power = sums[window:] - sums[:-window]
    largest = float(power.max())
    if largest <= 0.0:
        return x
    loud = np.flatnonzero(power >= largest * 10.0 ** (below_db / 10.0))
    # A window that sounds begins with its first sample of sound or before, and ends after its last.
    return x[max(int(loud[0]) - keep, 0) : int(loud[-1]) + window + keep]
