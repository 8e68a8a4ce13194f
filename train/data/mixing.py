"""Noise mixed into speech at a signal-to-noise ratio, as generation 1.14 does (NUMERICS 1.7)."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

FADE = 3200  # samples, 0.2 s
FADE_FROM = 0.6  # of a noise shorter than two and a half fades, where its only fade begins


def blend(
    speech: NDArray[Any], noise: NDArray[Any], snr_db: float, place: float
) -> NDArray[np.float64]:
    """Add noise to speech and restore the speech's power.

    Args:
        speech: (n,) float; noise: (m,) float, lengthened where m < n.
        snr_db: of the mixture before its power is restored.
        place: 0 to 1, where in the noise the piece begins.
    Returns:
        (n,) float64; the speech itself where either is silent.
    """
    x = speech.astype(np.float64)
    long = lengthened(noise, len(x)).astype(np.float64)
    begin = int((len(long) - len(x)) * place)
    piece = long[begin : begin + len(x)]
    of_speech, of_noise = np.mean(x**2), np.mean(piece**2)
    if of_speech == 0.0 or of_noise == 0.0:
        return x
    ratio = 10.0 * np.log10(of_speech) - 10.0 * np.log10(of_noise)
    y = x + piece / 10.0 ** ((snr_db - ratio) / 20.0)
    return np.asarray(y * np.sqrt(of_speech / np.mean(y**2)))


def lengthened(noise: NDArray[Any], samples: int) -> NDArray[Any]:
    """Repeat a noise, each time doubling it with a cross-fade, until it has that many samples."""
    if len(noise) < 2:  # nothing to fade
        return np.resize(noise, samples)
    angle = np.linspace(0.0, 0.5 * np.pi, FADE)
    while len(noise) < samples:
        begin = max(int(FADE_FROM * len(noise)), len(noise) - FADE)
        overlap = len(noise) - begin
        longer = np.zeros(begin + len(noise), noise.dtype)
        longer[:begin] = noise[:begin]
        longer[len(noise) :] = noise[overlap:]
        longer[begin : len(noise)] = noise[begin:] * np.cos(angle[:overlap]) + noise[
            :overlap
        ] * np.sin(angle[:overlap])
        noise = longer
    return noise
