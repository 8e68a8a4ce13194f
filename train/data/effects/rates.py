"""Rates: a clip slower or faster, higher or lower, or of a narrower band.

`speed` and `played` move pitch and length together, `tempo` the length alone, `pitch` the pitch alone.

Tempo is WSOLA: windows of the clip are laid down at another distance than they have in it, each taken from where
it fits best to what the window before it went on with. Source: Verhelst and Roelands (1993), an overlap-add
technique based on waveform similarity (WSOLA) for high quality time-scale modification of speech.
"""

from __future__ import annotations

import numpy as np
import soxr
from numpy.typing import NDArray

from stream.front_end.log_mel import SAMPLE_RATE

WINDOW = 512  # samples, 32 ms
HOP = WINDOW // 2
SEARCH = 160  # samples, 10 ms, that a window may be moved: a period of a voice of 100 Hz

Samples = NDArray[np.float32]
Generator = np.random.Generator


def speed(x: Samples, rng: Generator, change: float) -> Samples:
    """Play slower or faster: the length is multiplied by U(1 - change, 1 + change)."""
    return resampled(x, rng.uniform(1.0 - change, 1.0 + change))


def played(x: Samples, rng: Generator, factor: tuple[float, float]) -> Samples:
    """Play at U(factor) times the speed, as SoX's `speed`: 1.1 is faster and higher."""
    return resampled(x, 1.0 / rng.uniform(*factor))


def tempo(x: Samples, rng: Generator, factor: tuple[float, float]) -> Samples:
    """Speak at U(factor) times the tempo, as SoX's `tempo`: 1.1 is faster at the same pitch."""
    return stretched(x, round(len(x) / rng.uniform(*factor)))


def pitch(x: Samples, rng: Generator, cents: tuple[float, float]) -> Samples:
    """Move the pitch, and the formants, by U(cents), as SoX's `pitch`; the length stays."""
    return stretched(resampled(x, 2.0 ** (-rng.uniform(*cents) / 1200.0)), len(x))


def resampled(x: Samples, factor: float) -> Samples:
    """Multiply the length of a clip, and its frequencies by the inverse.

    All but the last 250 Hz of the band stay: what is heard live was not resampled so, and a model that never learned what
    is above 7 kHz is misled by it.
    """
    return np.asarray(soxr.resample(x, SAMPLE_RATE, SAMPLE_RATE * factor), np.float32)


def stretched(x: Samples, samples: int) -> Samples:
    """Return a clip of so many samples with the frequencies of another.

    Args:
        x: (n,) float32.
        samples: at least 1.
    """
    if samples == len(x) or len(x) < WINDOW:
        return x if samples == len(x) else np.resize(x, samples)
    window = np.hanning(WINDOW + 1)[:WINDOW].astype(np.float32)
    count = samples // HOP + 2
    padded = np.pad(x, (HOP + SEARCH, 2 * WINDOW + 2 * SEARCH))
    y = np.zeros((count + 1) * HOP + WINDOW, np.float32)
    # Where the search for each window begins, in `padded`; the first lies half before the clip.
    lows = np.maximum((np.arange(count) - 1) * HOP * (len(x) / samples) + HOP, 0).astype(int)
    taken = 0
    for number, low in enumerate(lows.tolist()):
        if number:
            goes_on = padded[taken + HOP : taken + HOP + WINDOW]
            places = padded[low : low + 2 * SEARCH + WINDOW]
            taken = low + int(np.correlate(places, goes_on).argmax())
        else:
            taken = low + SEARCH
        y[number * HOP : number * HOP + WINDOW] += window * padded[taken : taken + WINDOW]
    return y[HOP : HOP + samples]


def narrowband(x: Samples) -> Samples:
    """Take away what a telephone does not carry: everything above 4 kHz."""
    low = soxr.resample(x, SAMPLE_RATE, 8000)
    back = np.asarray(soxr.resample(low, 8000, SAMPLE_RATE), np.float32)
    return np.resize(back, len(x)) if len(back) < len(x) else back[: len(x)]
