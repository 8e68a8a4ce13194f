"""G.711: the two 8-bit codes of telephony, as tables from byte to sample.

Source: ITU-T Recommendation G.711 (1988), tables 1a to 2b. A byte is a sign, three bits of exponent
and four of mantissa, inverted in part; samples are scaled so that 1 is full scale of 16 bits.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

RATE = 8000  # Hz
MU_LAW_BIAS = 33  # of the 14-bit magnitude

_FULL_SCALE = 32768


def _mu_law() -> NDArray[np.float32]:
    code = ~np.arange(256, dtype=np.uint8)
    exponent, mantissa = (code >> 4) & 7, code & 15
    magnitude = (((mantissa.astype(np.int64) << 1) + MU_LAW_BIAS) << exponent) - MU_LAW_BIAS
    return np.asarray(np.where(code & 0x80, -4, 4) * magnitude / _FULL_SCALE, np.float32)


def _a_law() -> NDArray[np.float32]:
    code = np.arange(256, dtype=np.uint8) ^ 0x55
    exponent, mantissa = ((code >> 4) & 7).astype(np.int64), (code & 15).astype(np.int64)
    magnitude = (mantissa << 1) + 1 + np.where(exponent > 0, 32, 0)
    magnitude <<= np.maximum(exponent - 1, 0)
    return np.asarray(np.where(code & 0x80, 8, -8) * magnitude / _FULL_SCALE, np.float32)


MU_LAW = _mu_law()
"""(256,) float32, samples of the bytes of mu-law."""

A_LAW = _a_law()
"""(256,) float32, samples of the bytes of A-law."""
