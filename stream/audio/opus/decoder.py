"""Packets of Opus to samples, by PyAV (the extra `media`).

The samples that an encoder says to drop at the start (7 ms) are kept.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from stream.audio.opus.framing import Framing, OpusError
from stream.stage import Floats

RATE = 48_000  # of decoded samples, whatever was encoded
MOST_SECONDS = 60  # of a message: one byte of Opus may be 120 ms


class Opus:
    """Opus to samples.

    Args:
        framing: of the packets.
    Raises:
        ImportError: PyAV is not installed.
    """

    def __init__(self, framing: Framing) -> None:
        import av

        self._framing = framing
        self._packet: Any = av.Packet
        self._errors = av.FFmpegError
        self._decoder: Any = av.CodecContext.create("opus", "r")
        self._decoder.sample_rate = RATE
        self._decoder.layout = "mono"

    def decode(self, received: bytes) -> Floats:
        """Return the samples, (n,) float32 at `RATE`, of what is whole with these bytes.

        Raises:
            OpusError: they are no Opus, or more than `MOST_SECONDS`.
        """
        parts, count = [np.zeros(0, np.float32)], 0
        for packet in self._framing.feed(received):
            try:
                frames = self._decoder.decode(self._packet(packet))
            except (self._errors, ValueError) as error:
                raise OpusError("is not Opus, or is damaged") from error
            count += sum(frame.samples for frame in frames)
            if count > MOST_SECONDS * RATE:
                raise OpusError(f"has more than {MOST_SECONDS} s in a message; send smaller ones")
            parts += [
                frame.to_ndarray().astype(np.float32, copy=False).mean(axis=0) for frame in frames
            ]
        return np.concatenate(parts)
