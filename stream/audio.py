"""Audio files of any format, rate and channel count to 16 kHz mono, in chunks with state.

soundfile decodes, soxr resamples: (samples,) float32 in [-1, 1] as the file has them (int16 / 32768,
channels averaged, floats beyond the range not clipped). At 16 kHz samples pass bit for bit. Memory is
that of one chunk, however long the file; a `Part` of a file is sought, what stands before it is not
decoded.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile
import soxr
from numpy.typing import NDArray

from stream.features import SAMPLE_RATE
from stream.rings import Samples

__all__ = ["WHOLE", "AudioError", "Part", "Resampler", "as_float", "read_audio", "read_chunks"]

QUALITY = "VHQ"
READ_SECONDS = 1.0
UNKNOWN = 1 << 62  # samples: libsndfile gives the largest number for a length that is not known


class AudioError(ValueError):
    """A recording that cannot be used; `path` names it."""

    def __init__(self, path: Path, message: str) -> None:
        super().__init__(f"{path}: {message}")
        self.path = path


@dataclass(frozen=True, slots=True)
class Part:
    """What of a file is meant.

    Attributes:
        offset: seconds at which it begins.
        seconds: its length, or None: up to the end.
        channel: the one that is taken, from 0, or None: the average of all.
    """

    offset: float = 0.0
    seconds: float | None = None
    channel: int | None = None


WHOLE = Part()


def as_float(x: Samples) -> NDArray[np.float32]:
    """Return samples as float32; int16 is of full scale, 32768."""
    return np.divide(x, 32768, dtype=np.float32) if x.dtype == np.int16 else np.asarray(x)


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

    def finish(self) -> NDArray[np.float32]:
        """Return the rest, at the end of the input."""
        empty = np.zeros(0, np.float32)
        if self._stream is None:
            return empty
        return np.asarray(self._stream.resample_chunk(empty, last=True), np.float32)


def read_chunks(path: str | Path, part: Part = WHOLE) -> Iterator[NDArray[np.float32]]:
    """Decode a file or a part of it, chunk by chunk of about a second.

    A part that reaches beyond the end of the file ends with it.

    Raises:
        AudioError: the file cannot be decoded, breaks off, has not the channel, holds no sample there,
            or holds one that is not finite.
    """
    path = Path(path)
    read = 0
    try:
        with soundfile.SoundFile(path) as file:
            resampler = Resampler(file.samplerate)
            first = _seek(file, path, part)
            size = int(READ_SECONDS * file.samplerate)
            most = UNKNOWN if part.seconds is None else round(part.seconds * file.samplerate)
            while len(block := file.read(min(size, most - read), dtype="float32", always_2d=True)):
                mono = _mono(block, path, part.channel)
                bad = np.flatnonzero(~np.isfinite(mono))
                if bad.size:
                    at = first + read + bad[0]
                    raise AudioError(
                        path,
                        f"sample {at} ({at / file.samplerate:.3f} s) is "
                        f"{mono[bad[0]]}; write finite samples",
                    )
                read += len(mono)
                yield as_float(resampler.push(np.ascontiguousarray(mono)))
            # An MP3's length is an estimate.
            wanted = min(file.frames - first, most)
            if read < wanted and file.frames < UNKNOWN and file.format != "MP3":
                raise AudioError(
                    path,
                    f"breaks off after {first + read} of {file.frames} samples; it is truncated",
                )
            yield resampler.finish()
    except soundfile.LibsndfileError as error:
        raise AudioError(path, f"cannot be decoded: {error.error_string}") from error
    except OSError as error:
        raise AudioError(path, f"cannot be read: {error.strerror or error}") from error
    if read == 0:
        raise AudioError(path, "holds no sample")


def _seek(file: soundfile.SoundFile, path: Path, part: Part) -> int:
    """Go to where the part begins; returns the number of the sample."""
    first: int = round(part.offset * file.samplerate)
    if first > file.frames:
        seconds = file.frames / file.samplerate
        raise AudioError(path, f"has {seconds:.3f} s; the part begins at {part.offset} s")
    if first:
        file.seek(first)
    return first


def _mono(block: NDArray[np.float32], path: Path, channel: int | None) -> NDArray[np.float32]:
    channels = block.shape[1]
    if channel is not None:
        if channel >= channels:
            raise AudioError(path, f"has {channels} channels; {channel} is none of them, from 0")
        return block[:, channel]
    return block[:, 0] if channels == 1 else block.mean(axis=1, dtype=np.float32)


def read_audio(path: str | Path, part: Part = WHOLE) -> NDArray[np.float32]:
    """Decode a whole file or a part of it, (samples,) float32 at 16 kHz; raises what `read_chunks` does."""
    return np.concatenate(list(read_chunks(path, part)))
