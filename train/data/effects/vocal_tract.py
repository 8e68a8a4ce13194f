"""Vocal tract length: move the formants of a speaker, leaving pitch, words and their times.

A vocal tract that is longer by a factor has its resonances lower by it. The envelope of each frame's
spectrum, smoothed by a cepstral lifter so that the harmonics of the pitch are not in it, is read at
warped frequencies, and the frame is multiplied by the ratio of the two envelopes. What is multiplied is a
spectrum with its phase, so that a warp of 1 gives the clip again.

Source: Jaitly and Hinton (2013), vocal tract length perturbation; there the mel filters are warped, with the
same piecewise linear map.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from stream.front_end.log_mel import SAMPLE_RATE

Samples = NDArray[np.float32]

WINDOW = 512  # samples, 32 ms
HOP = 128
LIFTER = (
    40  # cepstral coefficients kept: an envelope that follows formants and no pitch below 400 Hz
)
BEND_HZ = (
    4800.0  # up to here the map is a line through 0, beyond it a line to the highest frequency
)
FLOOR = 1e-5  # of magnitude, so that the logarithm of silence is finite
MOST_GAIN = 2.3  # nepers, 20 dB, of the ratio of envelopes


def warp_formants(x: Samples, factor: float) -> Samples:
    """Move what lies at a frequency f to factor * f, up to 4.8 kHz.

    Args:
        x: (n,) float32 at 16 kHz.
        factor: above 0; more than 1 is a shorter vocal tract. Perturbations are 0.8 to 1.2.
    Returns:
        (n,) float32.
    """
    window = np.sqrt(np.hanning(WINDOW + 1)[:WINDOW])
    count = (len(x) + WINDOW) // HOP + 1
    padded = np.zeros((count - 1) * HOP + WINDOW)
    padded[WINDOW - HOP : WINDOW - HOP + len(x)] = x
    frames = np.lib.stride_tricks.sliding_window_view(padded, WINDOW)[::HOP] * window
    spectra = np.fft.rfft(frames)  # (frames, bins)
    envelope = _envelope(spectra)
    spectra *= np.exp(np.clip(_warped(envelope, factor) - envelope, -MOST_GAIN, MOST_GAIN))
    back = np.fft.irfft(spectra) * window
    y = np.zeros_like(padded)
    weight = np.zeros_like(padded)
    for start, frame in zip(range(0, count * HOP, HOP), back, strict=True):
        y[start : start + WINDOW] += frame
        weight[start : start + WINDOW] += window**2
    kept = slice(WINDOW - HOP, WINDOW - HOP + len(x))
    return np.asarray(y[kept] / weight[kept], np.float32)


def _envelope(spectra: NDArray[np.complex128]) -> NDArray[np.float64]:
    """Return the log magnitude of spectra, (frames, bins), smoothed over frequency."""
    cepstra = np.fft.irfft(np.log(np.maximum(np.abs(spectra), FLOOR)))
    cepstra[:, LIFTER : WINDOW - LIFTER + 1] = 0.0
    return np.asarray(np.fft.rfft(cepstra).real)


def _warped(envelope: NDArray[np.float64], factor: float) -> NDArray[np.float64]:
    """Read an envelope, (frames, bins), where the map sends each frequency from."""
    nyquist = SAMPLE_RATE / 2
    bend = min(BEND_HZ, BEND_HZ * factor)
    hertz = np.linspace(0.0, nyquist, envelope.shape[1])
    source = np.interp(hertz, [0.0, bend, nyquist], [0.0, bend / factor, nyquist])
    places = source / nyquist * (envelope.shape[1] - 1)
    low = np.minimum(places.astype(int), envelope.shape[1] - 2)
    share = places - low
    return np.asarray(envelope[:, low] * (1.0 - share) + envelope[:, low + 1] * share)
