"""One utterance of Wyoming's protocol, as a dialect: PCM of a format in, transcript events out.

`server.adapters.wyoming` reads the events of a connection and makes a stream of each utterance.
"""

from __future__ import annotations

import logging

import msgspec
import numpy as np
from numpy.typing import NDArray

from server.adapters.wyoming_framing import encode
from server.protocol.stream import Dialect, StreamProtocol
from stream.audio import HIGHEST_RATE, LOWEST_RATE, Mixer
from stream.engine.engine import Result
from stream.front_end.log_mel import SAMPLE_RATE
from stream.transcripts.transcript import Transcript

logger = logging.getLogger(__name__)
WIDTHS = {1: "u1", 2: "<i2", 4: "<i4"}
MOST_CHANNELS = 64


class Format(msgspec.Struct):
    """The PCM format of payloads: sample rate in Hz, bytes of a sample, channels."""

    rate: int = SAMPLE_RATE
    width: int = 2
    channels: int = 1

    def fault(self) -> str | None:
        """Return why it cannot be served, None where it can."""
        if not LOWEST_RATE <= self.rate <= HIGHEST_RATE:
            return f"rate is {self.rate}; want {LOWEST_RATE} to {HIGHEST_RATE}"
        if self.width not in WIDTHS:
            return f"width is {self.width}; want one of {', '.join(map(str, WIDTHS))}"
        if not 1 <= self.channels <= MOST_CHANNELS:
            return f"channels is {self.channels}; want 1 to {MOST_CHANNELS}"
        return None

    @property
    def frame_bytes(self) -> int:
        """Bytes of a sample of every channel."""
        return self.width * self.channels

    def samples(self, frames: bytes) -> NDArray[np.float32]:
        """Return whole frames as (n, channels) float32, full scale 1."""
        values = np.frombuffer(frames, WIDTHS[self.width]).reshape(-1, self.channels)
        scale = 1 << (8 * self.width - 1)
        return np.asarray(values / scale - (self.width == 1), np.float32)


class Utterance(Dialect):
    """The dialect of one utterance; its messages are events.

    Args:
        language: of the model, its primary tag.

    Attributes:
        format: of the payloads.
    """

    rate = SAMPLE_RATE
    end = "audio-stop"

    def __init__(self, language: str) -> None:
        self.format = Format()
        self._mixer = Mixer()
        self._transcript = Transcript()
        self._language = {"language": language}
        self._began = False

    def set_format(self, format: Format) -> None:
        """Expect payloads of a format from now on."""
        if format.channels != self.format.channels:
            self._mixer = Mixer()
        self.format = format

    def receive_audio(self, stream: StreamProtocol, message: bytes) -> None:
        """Take a payload."""
        frames = stream.whole_frames(message, self.format.frame_bytes)
        cancelled = self._mixer.cancelled
        stream.push(self._mixer.mix(self.format.samples(frames)))
        if self._mixer.cancelled and not cancelled:
            logger.warning(
                "the channels of a stream cancel each other; channel %d (from 0) is heard alone",
                self._mixer.taken,
            )

    def receive_text(self, stream: StreamProtocol, text: str) -> None:
        """Take nothing: there are no texts."""

    def send_result(self, stream: StreamProtocol, result: Result) -> None:
        """Send what is final, and at the end everything."""
        if result.silent:
            return
        self._transcript.add(result)
        text = result.text if self._began else result.text.lstrip()
        if not self._began and (text or result.last):
            self._began = True
            stream.send(encode("transcript-start", self._language))
        if text:
            stream.send(encode("transcript-chunk", {"text": text}))
        if result.last:
            stream.send(encode("transcript", {"text": self._transcript.text} | self._language))
            stream.send(encode("transcript-stop"))
