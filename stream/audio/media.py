"""Media: what phones and browsers record, decoded by PyAV (FFmpeg), the extra `media`.

`Media` is to `stream.audio.recording` what `soundfile.SoundFile` is. The first sound track is decoded. Rate and
channels are those of its first frame, since the header of an HE-AAC file may give half the rate. The demuxer is
chosen by the first bytes, never by FFmpeg, which has some that open other files and addresses.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from stream.audio.source import Source
from stream.stage import Floats

UNKNOWN_FRAMES = 1 << 62  # as libsndfile says of a pipe
PROBED_BYTES = 2048  # of a pipe, before its first frame is decoded
SLACK_SECONDS, SLACK = 0.1, 0.01  # of a promise: the larger one, a share of it


class MediaError(Exception):
    """What PyAV could not do; `error_string` says it, as libsndfile's error does."""

    def __init__(self, error_string: str) -> None:
        super().__init__(error_string)
        self.error_string = error_string


class Media:
    """The sound of a file or a pipe, as floats.

    Args:
        source: its bytes.
        demuxer: FFmpeg's name of the container.
    Attributes:
        samplerate: Hz.
        channels: number of them.
        frames: how many the container promises; `UNKNOWN_FRAMES` where it promises none.
        slack: how many fewer may come, since a promise counts what the encoder padded.
        tracks: sound tracks, of which the first is decoded.
    Raises:
        MediaError: it cannot be decoded, or holds no sound.
    """

    def __init__(self, source: Source, demuxer: str) -> None:
        import av

        self._errors: tuple[type[Exception], ...] = (av.FFmpegError, ValueError)
        options = {"probesize": str(PROBED_BYTES), "analyzeduration": "0"} if source.live else {}
        try:
            self._container = av.open(
                _Pipe(source) if source.live else source,
                format=demuxer,
                options=options,
                metadata_errors="replace",
            )
        except self._errors as error:
            raise MediaError(_reason(error)) from error
        try:
            self._open()
        except BaseException:
            self._container.close()
            raise

    def _open(self) -> None:
        tracks = self._container.streams.audio
        self.tracks = len(tracks)
        if not tracks:
            raise MediaError("it has no sound track")
        self._blocks = self._decoded(tracks[0])
        self._rest = np.zeros((0, 1), np.float32)
        self.samplerate = self.channels = 0  # until the first frame
        self._rest = next(self._blocks, self._rest)
        if not self.samplerate:
            raise MediaError("its sound track is empty")
        seconds = self._promised(tracks[0])
        self.frames = round(seconds * self.samplerate) if seconds else UNKNOWN_FRAMES
        self.slack = round(max(SLACK_SECONDS, SLACK * seconds) * self.samplerate)

    def _promised(self, track: Any) -> float:
        """Return the seconds that the container says a track has, 0 where it does not say."""
        if self._container.format.name in ("aac", "amr"):
            return 0.0  # FFmpeg's guess from the bit rate
        if track.duration is not None:
            return float(track.duration * track.time_base)
        alone = len(self._container.streams) == 1
        return (self._container.duration or 0) / 1e6 if alone else 0.0

    def _decoded(self, track: Any) -> Iterator[Floats]:
        import av

        resampler = av.AudioResampler(format="fltp")
        try:
            for frame in self._container.decode(track):
                shape = frame.sample_rate, frame.layout.nb_channels
                if not self.samplerate:
                    self.samplerate, self.channels = shape
                if shape != (self.samplerate, self.channels):
                    raise MediaError("its rate or its channels change")
                for part in resampler.resample(frame):
                    yield part.to_ndarray().T
        except self._errors as error:
            raise MediaError(_reason(error)) from error

    def read(self, frames: int, dtype: str = "float32", always_2d: bool = True) -> Floats:
        """Return the next frames, (n, channels) float32; fewer at the end."""
        parts, count = [self._rest], len(self._rest)
        while count < frames and (block := next(self._blocks, None)) is not None:
            parts.append(block)
            count += len(block)
        joined = np.concatenate(parts)
        self._rest = joined[frames:]
        return joined[:frames]

    def seek(self, frame: int) -> None:
        """Go to a frame, from the beginning: what precedes it is decoded and dropped."""
        while frame > 0 and len(block := self.read(min(frame, self.samplerate))):
            frame -= len(block)

    def close(self) -> None:
        """Let go of the file."""
        self._container.close()


class _Pipe:
    """A pipe as PyAV reads one: what is there, and no way back."""

    def __init__(self, source: Source) -> None:
        self._source = source

    def read(self, count: int) -> bytes:
        return self._source.take(count)


def _reason(error: Exception) -> str:
    return str(getattr(error, "strerror", None) or error)
