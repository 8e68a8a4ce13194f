"""Filters: the low, the high or some of the frequencies of a clip, softer or louder.

The filters are SoX's (`lowpass`, `highpass`, `bandpass`, `bass`, `treble`), of second order, with its widths where one does
not say them. They are applied to the spectrum of the whole clip, so that no recursion runs over samples.
Source: Bristow-Johnson, Cookbook formulae for audio EQ biquad filter coefficients.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from stream.front_end.log_mel import SAMPLE_RATE

Samples = NDArray[np.float32]
Generator = np.random.Generator


BUTTERWORTH = 0.5**0.5  # quality of a low or a high pass
BASS_HZ, TREBLE_HZ = 100.0, 3000.0
TAIL = 4096  # samples, in which what a filter still rings with is cut off

Coefficients = tuple[tuple[float, float, float], tuple[float, float, float]]


def lowpass(x: Samples, rng: Generator, hertz: tuple[float, float]) -> Samples:
    """Take away what is above U(hertz), 12 dB an octave."""
    c, alpha = _angle(rng.uniform(*hertz), BUTTERWORTH)
    return _filtered(x, (((1 - c) / 2, 1 - c, (1 - c) / 2), (1 + alpha, -2 * c, 1 - alpha)))


def highpass(x: Samples, rng: Generator, hertz: tuple[float, float]) -> Samples:
    """Take away what is below U(hertz), 12 dB an octave."""
    c, alpha = _angle(rng.uniform(*hertz), BUTTERWORTH)
    return _filtered(x, (((1 + c) / 2, -1 - c, (1 + c) / 2), (1 + alpha, -2 * c, 1 - alpha)))


def bandpass(x: Samples, rng: Generator, hertz: tuple[float, float]) -> Samples:
    """Take away what is not around U(hertz), 6 dB an octave on either side of an octave."""
    c, alpha = _angle(rng.uniform(*hertz), 2.0**0.5)
    return _filtered(x, ((alpha, 0.0, -alpha), (1 + alpha, -2 * c, 1 - alpha)))


def bass(x: Samples, rng: Generator, decibels: tuple[float, float]) -> Samples:
    """Change the level of what is below 100 Hz by U(decibels)."""
    return _filtered(x, _shelf(BASS_HZ, rng.uniform(*decibels), 1))


def treble(x: Samples, rng: Generator, decibels: tuple[float, float]) -> Samples:
    """Change the level of what is above 3 kHz by U(decibels)."""
    return _filtered(x, _shelf(TREBLE_HZ, rng.uniform(*decibels), -1))


def _angle(hertz: float, quality: float) -> tuple[float, float]:
    """Return the cosine of a frequency, and the cookbook's alpha."""
    w = 2 * np.pi * min(hertz / SAMPLE_RATE, 0.499)
    return float(np.cos(w)), float(np.sin(w) / (2 * quality))


def _shelf(hertz: float, decibels: float, side: int) -> Coefficients:
    """Return a shelf of slope 0.5 below (side 1) or above (-1) a frequency."""
    a = 10.0 ** (decibels / 40.0)
    quality = 1.0 / np.sqrt((a + 1 / a) * (1 / 0.5 - 1) + 2)
    c, alpha = _angle(hertz, quality)
    c, root = side * c, 2 * np.sqrt(a) * alpha
    up, down = a + 1, a - 1
    return (
        (a * (up - down * c + root), side * 2 * a * (down - up * c), a * (up - down * c - root)),
        (up + down * c + root, -side * 2 * (down + up * c), up + down * c - root),
    )


def _filtered(x: Samples, coefficients: Coefficients) -> Samples:
    size = 1 << (len(x) + TAIL - 1).bit_length()
    z = np.exp(-2j * np.pi * np.arange(size // 2 + 1) / size)
    above, below = (b0 + z * (b1 + z * b2) for b0, b1, b2 in coefficients)
    return np.asarray(
        np.fft.irfft(np.fft.rfft(x, size) * (above / below), size)[: len(x)], np.float32
    )
