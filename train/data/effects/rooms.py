"""Rooms: a clip as it sounds some way from the speaker."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from stream.front_end.log_mel import SAMPLE_RATE

Samples = NDArray[np.float32]
Generator = np.random.Generator


def reverberation(x: Samples, rng: Generator, decay: tuple[float, float] = (0.1, 0.5)) -> Samples:
    """Put the speaker into a room of exponential decay; the direct path keeps its time and level.

    Args:
        decay: range of the seconds to -60 dB.
    """
    length = max(1, int(rng.uniform(*decay) * SAMPLE_RATE))
    response = rng.standard_normal(length).astype(np.float32)
    response *= np.exp(-6.9 * np.arange(length, dtype=np.float32) / length)
    response *= np.float32(rng.uniform(0.1, 0.6) / np.sqrt(np.sum(response**2)))
    response[: int(0.002 * SAMPLE_RATE)] = 0.0
    response[0] = 1.0
    size = 1 << (len(x) + length - 1).bit_length()
    product = np.fft.rfft(x, size) * np.fft.rfft(response, size)
    return np.asarray(np.fft.irfft(product, size)[: len(x)], np.float32)
