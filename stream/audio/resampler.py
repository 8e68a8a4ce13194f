"""Samples of any rate to 16 kHz, in pieces; and which rates and samples are taken at all."""

from __future__ import annotations

import numpy as np
import soxr

from stream.front_end.log_mel import SAMPLE_RATE
from stream.stage import Floats, Samples

QUALITY = "VHQ"
LOWEST_RATE, HIGHEST_RATE = 4000, 384_000  # Hz, of files and of streams
# Full scale is 1. Floats beyond it are not clipped, and integers that were written as floats are
# still understood, for the features are normalised; but 1e30 overflows in the spectrum.
LOUDEST = 1e4


def as_float(x: Samples) -> Floats:
    """Return samples as float32; int16 is of full scale, 32768."""
    return np.divide(x, 32768, dtype=np.float32) if x.dtype == np.int16 else np.asarray(x)


def first_bad_sample(x: Floats) -> int | None:
    """Return the index of the first sample that is no audio, None where all are.

    Args:
        x: (n,) float32 of any byte order.
    Returns:
        of a sample that is not finite, or beyond `LOUDEST`.
    """
    # The extremes are NaN if a sample is.
    if not len(x) or -LOUDEST <= x.min() <= x.max() <= LOUDEST:
        return None
    return int(np.flatnonzero(~(np.abs(x) <= LOUDEST))[0])


class Resampler:
    """Mono samples of one rate to 16 kHz, in pieces of any size.

    Args:
        rate: of the input, Hz.
    """

    def __init__(self, rate: int) -> None:
        self._stream = (
            None
            if rate == SAMPLE_RATE
            else soxr.ResampleStream(rate, SAMPLE_RATE, 1, dtype="float32", quality=QUALITY)
        )

    def push(self, x: Samples) -> Samples:
        """Return what the samples so far determine and was not returned before.

        Args:
            x: (n,) float32, or int16 of full scale; at 16 kHz it is returned as it is.
        """
        if self._stream is None or not len(x):
            return x
        return np.asarray(self._stream.resample_chunk(as_float(x)), np.float32)

    def finish(self) -> Floats:
        """Return the rest, at the end of the input."""
        empty = np.zeros(0, np.float32)
        if self._stream is None:
            return empty
        return np.asarray(self._stream.resample_chunk(empty, last=True), np.float32)
