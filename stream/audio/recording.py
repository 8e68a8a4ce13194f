"""A recording: a file or a pipe to samples at 16 kHz, block by block, with warnings.

Samples are (n,) float32 in [-1, 1] as the file has them: int16 / 32768; floats beyond the range are not
clipped, up to `LOUDEST`. At 16 kHz they pass bit for bit. Memory is that of one block, whatever the
header says and however long the recording; for a part, we seek to it and do not decode what precedes it.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import soundfile

from stream.audio.channels import Mixer
from stream.audio.containers import UnknownFormatError, read_layout
from stream.audio.errors import AudioError, CutShortError, FormatError, TooLongError
from stream.audio.media import Media, MediaError
from stream.audio.part import WHOLE, Part
from stream.audio.resampler import HIGHEST_RATE, LOWEST_RATE, Resampler, as_float, first_bad_sample
from stream.audio.source import Source
from stream.stage import Floats

logger = logging.getLogger(__name__)
BLOCK_SECONDS = 1.0
LIVE_SECONDS = 0.06  # of a pipe: a chunk of the engine's
BLOCK_VALUES = 1 << 18  # samples of all channels in a block, 1 MiB
UNKNOWN_FRAMES = 1 << 62  # an unknown length is given as the largest number
QUIET = 10 ** (-60 / 20)  # a peak below it is 5 bits of 16, and nothing is heard in it


class Recording:
    """A recording that is open; a context manager.

    Args:
        path: of the file, or of a pipe (/dev/stdin).
        part: what of it is meant; one that reaches beyond the end of the file ends with it.
        most_seconds: how long it may be; None: as long as it is.
        content: bytes of the recording where it is no file of its own; the path is then a name.

    Attributes:
        path: of the file.
        container: name of its format.
        rate: Hz.
        channels: number of them.
        seconds: length of the whole; None: unknown.
        notes: what was noticed while it was read, a sentence each.

    Raises:
        FormatError: it is of no format that is read.
        CutShortError: it ends before its container says so.
        TooLongError: it is longer than it may be.
        AudioError: it cannot be read or decoded, has a rate that is not taken, or lacks that part.
    """

    def __init__(
        self,
        path: str | Path,
        part: Part = WHOLE,
        *,
        most_seconds: float | None = None,
        content: bytes | None = None,
    ) -> None:
        self.path, self.part = Path(path), part
        self.notes: list[str] = []
        self._most_seconds = most_seconds
        try:
            self._source = Source(self.path, content)
        except OSError as error:
            raise self._unreadable(error) from error
        try:
            self._open()
        except BaseException:
            self._source.close()
            raise

    def _open(self) -> None:
        source = self._source
        try:
            if not source.peek(0, 1):
                raise AudioError(self.path, "is empty")
            self._layout = read_layout(source)
        except UnknownFormatError as error:
            raise FormatError(self.path, str(error)) from error
        except OSError as error:
            raise self._unreadable(error) from error
        self.container = self._layout.container
        if self._layout.lack:
            raise self._cut_short(self._layout.lack)
        if self._layout.fault:
            raise AudioError(self.path, self._layout.fault)
        source.patch(self._layout.fields)
        if self._layout.prefix:
            source.begin_with(self._layout.prefix, self._layout.prefix_at)
        if source.live and not self._layout.demuxer:
            source.declare(self._layout.size or 0)
        try:
            self._file: Any = (
                Media(source, self._layout.demuxer)
                if self._layout.demuxer
                else soundfile.SoundFile(self.path if source.plain else source)
            )
        except (soundfile.LibsndfileError, MediaError) as error:
            raise AudioError(self.path, f"cannot be decoded: {error.error_string}") from error
        if isinstance(self._file, Media) and self._file.tracks > 1:
            self.notes.append(f"it has {self._file.tracks} sound tracks; the first is heard alone")
        self.rate, self.channels = self._file.samplerate, self._file.channels
        known = not source.live and self._file.frames < UNKNOWN_FRAMES
        self.seconds = self._file.frames / max(1, self.rate) if known else None
        try:
            if not LOWEST_RATE <= self.rate <= HIGHEST_RATE:
                raise AudioError(
                    self.path, f"has a rate of {self.rate} Hz; want {LOWEST_RATE} to {HIGHEST_RATE}"
                )
            self._check_length(self.seconds or 0.0)
            self._first = self._seek()
        except BaseException:
            self._file.close()
            raise

    def _seek(self) -> int:
        """Go to where the part begins; returns the number of the frame."""
        channel = self.part.channel
        if channel is not None and channel >= self.channels:
            raise AudioError(
                self.path, f"has {self.channels} channels, from 0; there is no channel {channel}"
            )
        first: int = round(self.part.offset * self.rate)
        if first == 0:
            return 0
        if self.seconds is None:
            raise AudioError(
                self.path, f"has no known length; the part begins at {self.part.offset} s"
            )
        if first > self._file.frames:
            raise AudioError(
                self.path, f"has {self.seconds:.3f} s; the part begins at {self.part.offset} s"
            )
        self._file.seek(first)
        return first

    def __enter__(self) -> Recording:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Let go of the file; a second call does nothing."""
        self._file.close()
        self._source.close()

    def blocks(self) -> Iterator[Floats]:
        """Yield the samples at 16 kHz, once: (n,) float32 each, about a second long, from a pipe a chunk.

        Raises:
            CutShortError: it ends before its container says so.
            TooLongError: it is longer than it may be.
            AudioError: it cannot be decoded, holds no sample, or one that is no audio.
        """
        resampler, mixer = Resampler(self.rate), Mixer(self.part.channel)
        read, peak = 0, 0.0
        for block in self._decoded():
            mono = mixer.mix(block)
            bad = first_bad_sample(mono)
            if bad is not None:
                at = self._first + read + bad
                raise AudioError(
                    self.path,
                    f"sample {at} ({at / self.rate:.3f} s) is {mono[bad]:g}; "
                    "write finite samples from -1 to 1",
                )
            peak = max(peak, float(np.abs(mono).max()))
            read += len(mono)
            self._check_length(read / self.rate)
            yield as_float(resampler.push(mono))
        if read == 0:
            raise AudioError(self.path, "holds no sample")
        self._check_end(read)
        yield resampler.finish()
        if mixer.cancelled:
            since = (self._first + mixer.since) / self.rate
            self.notes.append(
                f"the channels cancel each other from {since:.2f} s on; "
                f"channel {mixer.taken} (from 0) is heard alone"
            )
        if peak < QUIET:
            level = f"{-20 * np.log10(peak):.0f} dB below full scale" if peak else "0"
            self.notes.append(f"its loudest sample is {level}; nothing can be heard in it")

    def _decoded(self) -> Iterator[Floats]:
        """Yield what the decoder gives, (frames, channels)."""
        seconds = LIVE_SECONDS if self._source.live else BLOCK_SECONDS
        size = max(1, min(int(seconds * self.rate), BLOCK_VALUES // self.channels))
        read, most = 0, self._most_frames()
        try:
            while len(
                block := self._file.read(min(size, most - read), dtype="float32", always_2d=True)
            ):
                read += len(block)
                yield block
        except (soundfile.LibsndfileError, MediaError) as error:
            raise AudioError(
                self.path,
                f"cannot be decoded after {(self._first + read) / self.rate:.3f} s{self._place}: "
                f"{error.error_string}",
            ) from error
        if self._source.fault is not None:
            raise self._unreadable(self._source.fault)

    @property
    def _place(self) -> str:
        """Say how far into a pipe a fault is, "" of a file."""
        return f", before byte {self._source.received}" if self._source.live else ""

    def _most_frames(self) -> int:
        seconds = self.part.seconds
        return sys.maxsize if seconds is None else round(seconds * self.rate)

    def _check_length(self, seconds: float) -> None:
        if self._most_seconds is not None and seconds > self._most_seconds:
            raise TooLongError(
                self.path, f"is longer than {self._most_seconds:g} s; send it in parts"
            )

    def _check_end(self, read: int) -> None:
        """Raise where fewer frames came than were promised."""
        most, frames = self._most_frames(), self._file.frames
        slack = self._file.slack if isinstance(self._file, Media) else 0
        lack, source = "", self._source
        if source.live and self._layout.promise is not None:
            lack = self._layout.promise.lack(source.received) if read < most else ""
        elif source.live and self._layout.ending is not None and read < most:
            lack = self._layout.ending(bytes(source.tail), source.received - len(source.tail))
        elif (
            self.container != "MP3"  # its decoder counts what its filter adds
            and not self._layout.fields  # a size that was never written
            and frames < UNKNOWN_FRAMES
            and read < min(frames - slack - self._first, most)
        ):
            lack = f"its header says {frames} samples, but there are only {self._first + read}"
        if lack:
            raise self._cut_short(lack)

    def _cut_short(self, lack: str) -> CutShortError:
        return CutShortError(
            self.path,
            f"is cut short: {lack}. To use what is there, rewrite it: ffmpeg -i RECORDING out.wav",
        )

    def _unreadable(self, error: OSError) -> AudioError:
        return AudioError(self.path, f"cannot be read: {error.strerror or error}")


def read_chunks(
    path: str | Path, part: Part = WHOLE, content: bytes | None = None
) -> Iterator[Floats]:
    """Decode a file or a part of it, block by block; notes become warnings in the log.

    Args:
        content: bytes of the recording where it is no file of its own; the path is then a name.
    Raises:
        AudioError: see `Recording`.
    """
    with Recording(path, part, content=content) as recording:
        yield from recording.blocks()
        for note in recording.notes:
            logger.warning("%s: %s", path, note)


def read_audio(path: str | Path, part: Part = WHOLE, content: bytes | None = None) -> Floats:
    """Decode a whole file or a part of it, (samples,) float32 at 16 kHz; as `read_chunks`."""
    return np.concatenate(list(read_chunks(path, part, content)))
