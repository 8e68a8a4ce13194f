"""Signals of the scenarios: noise at a level, tones after digital silence, telephone channels.

Samples are (n,) float32 at 16 kHz; dBFS is of the root mean square, below a full scale of 1.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import soxr

from stream.audio import g711, read_audio
from stream.errors import ArgumentError
from stream.front_end.log_mel import SAMPLE_RATE
from stream.stage import Floats

AUDIO = {".flac", ".wav", ".ogg", ".opus", ".mp3"}
DTMF: list[tuple[int, ...]] = [
    (low, high) for low in (697, 770, 852, 941) for high in (1209, 1336, 1477)
]  # ITU-T Q.23
# Name -> hertz of each tone in turn, seconds of a tone and from one to the next.
TONES: dict[str, tuple[list[tuple[int, ...]], float, float]] = {
    "DTMF, 0.1 s": (DTMF, 0.1, 1.0),
    "DTMF, 0.5 s": (DTMF, 0.5, 2.0),
    "sines, 0.5 s": ([(hertz,) for hertz in range(300, 3400, 200)], 0.5, 2.0),
    "ringing": ([(440, 480)], 2.0, 6.0),
    "busy": ([(480, 620)], 0.5, 1.0),
}
AMPLITUDE = 0.2


def white_noise(seconds: float, seed: int = 0) -> Floats:
    """Draw white noise of unit power."""
    rng = np.random.default_rng(seed)
    return rng.standard_normal(round(seconds * SAMPLE_RATE), np.float32)


def read_noises(folder: Path) -> dict[str, Floats]:
    """Read the recordings in a folder, by the names of their files.

    Raises:
        ArgumentError: there is none, or one is silent.
        AudioError: one cannot be decoded.
    """
    if not folder.is_dir():
        raise ArgumentError(f"{folder}: no such folder of noise")
    paths = sorted(path for path in folder.iterdir() if path.suffix.lower() in AUDIO)
    found = {path.stem: read_audio(path) for path in paths}
    if not found:
        raise ArgumentError(f"{folder}: no recordings in it ({', '.join(sorted(AUDIO))})")
    for name, samples in found.items():
        if not samples.any():
            raise ArgumentError(f"{folder}: {name} is silent")
    return found


def at_level(noise: Floats, seconds: float, dbfs: float) -> Floats:
    """Return a stretch of noise, repeated as often as it takes, at a level."""
    power = float(np.mean(np.square(noise, dtype=np.float64)))
    scale = np.float32(10.0 ** (dbfs / 20.0) / np.sqrt(power))
    return np.resize(noise, round(seconds * SAMPLE_RATE)) * scale


def tones(name: str, seconds: float) -> Floats:
    """Return tones of `TONES` with exact zeros between them."""
    hertz, length, period = TONES[name]
    t = np.arange(round(length * SAMPLE_RATE)) / SAMPLE_RATE
    x = np.zeros(round(seconds * SAMPLE_RATE), np.float32)
    for n, begin in enumerate(range(0, len(x) - len(t), round(period * SAMPLE_RATE))):
        waves = [np.sin(2.0 * np.pi * f * t) for f in hertz[n % len(hertz)]]
        x[begin : begin + len(t)] = AMPLITUDE * np.sum(waves, axis=0)
    return x


def quieter(x: Floats, decibels: float) -> Floats:
    """Return a recording at so many dB, below 0, of its level."""
    return np.asarray(x * np.float32(10.0 ** (decibels / 20.0)), np.float32)


def sixteen_bits(x: Floats) -> Floats:
    """Round to 16 bits, as a quiet microphone's samples arrive."""
    return np.asarray(np.clip(np.rint(x * 32768.0), -32768, 32767) / 32768.0, np.float32)


def narrowband(x: Floats) -> Floats:
    """Take a recording to 8 kHz and back."""
    return _resampled(_resampled(x, SAMPLE_RATE, g711.RATE), g711.RATE, SAMPLE_RATE)


def telephone(x: Floats, law: Floats) -> Floats:
    """Take a recording to 8 kHz, through a law of `stream.audio.g711` and back."""
    levels = np.unique(law)
    low = _resampled(x, SAMPLE_RATE, g711.RATE)
    decoded = levels[np.searchsorted((levels[1:] + levels[:-1]) / 2.0, low)]
    return _resampled(decoded, g711.RATE, SAMPLE_RATE)


def _resampled(x: Floats, rate: int, to: int) -> Floats:
    return np.asarray(soxr.resample(x, rate, to), np.float32)
