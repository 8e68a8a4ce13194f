"""Raw PCM, which has no header: signed 16 bits, little-endian, mono, of a rate that the caller knows."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from stream.audio.errors import AudioError
from stream.audio.resampler import HIGHEST_RATE, LOWEST_RATE, Resampler, as_float
from stream.errors import ArgumentError
from stream.stage import Floats

SAMPLE_BYTES = 2
READ_SECONDS = 0.06  # of a file; a pipe gives what it has


def read_pcm(path: str | Path, rate: int) -> Iterator[Floats]:
    """Yield the samples of a file or a pipe as they come, (n,) float32 at 16 kHz.

    A single byte at the end is no sample and is ignored.

    Args:
        rate: of the file, Hz.
    Raises:
        ArgumentError: there is no such rate.
        AudioError: the file cannot be read, or is empty.
    """
    if not LOWEST_RATE <= rate <= HIGHEST_RATE:
        raise ArgumentError(f"a rate of {rate} Hz; want {LOWEST_RATE} to {HIGHEST_RATE}")
    resampler, rest, received = Resampler(rate), b"", 0
    size = SAMPLE_BYTES * int(READ_SECONDS * rate)
    try:
        with Path(path).open("rb", buffering=0) as file:
            while data := file.read(size):
                data = rest + data
                whole = len(data) // SAMPLE_BYTES * SAMPLE_BYTES
                rest, received = data[whole:], received + whole
                samples = np.frombuffer(data[:whole], "<i2").astype(np.int16)
                yield as_float(resampler.push(samples))
    except OSError as error:
        raise AudioError(Path(path), f"cannot be read: {error.strerror or error}") from error
    if not received:
        raise AudioError(Path(path), "holds no sample")
    yield resampler.finish()
