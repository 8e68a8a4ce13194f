"""The messages of two protocols from the client's side, without I/O.

A `Dialect` makes messages of audio; the `Responses` of a stream get every message of the server, count
the messages that it answered, and keep what was said when. Audio is (n,) float32 at 16 kHz, sent as 60 ms messages
(960 samples), of which only the last of a stream may be shorter.

Myrtle (also `python -m server`):
1. 16-bit samples; an empty binary message ends the stream; the server closes with 1000.
2. A response answers a chunk, and with it the messages up to its `end`, if that is later than all before it:
   with beam search a chunk may have a final and a provisional response, of which the first counts.

sherpa-onnx:
3. Samples are float32; the text `Done` ends the stream; the server says `Done!`, or just closes.
4. Every response answers a chunk, which has to be one message, 60 ms. Text grows within a segment and may change until the next one
   begins; segments are separated by a space.
5. The front end looks ahead, so a chunk can be decoded only after one or more later messages:
   `server.load.player.messages_ahead` finds out how many. Latency counts from the message that
   completed the chunk, so that the look-ahead of the model does not count.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

from server.adapters.myrtle_messages import (
    CHUNK,
    SAMPLE_BYTES,
    messages_until,
    pcm_bytes,
    read_response,
)
from server.client.stream import DEFAULT_URL, stream_url


class DialectError(ValueError):
    """A message does not belong to the dialect."""


class Said(NamedTuple):
    """A change of text: `final` text follows the finals before it, other text is provisional.

    Provisional text replaces the provisional text before it; so does final text, but for good.
    """

    time: float
    text: str
    final: bool


class Responses(ABC):
    """One stream's messages from the server.

    Attributes:
        answered: messages.
        chunk: messages of a chunk, as far as responses have shown it.
        said: in order.
        ended: whether the server has sent its last message.
    """

    def __init__(self) -> None:
        self.answered = 0
        self.chunk = 1
        self.said: list[Said] = []
        self.ended = False
        self._text = ""  # provisional

    @abstractmethod
    def receive(self, message: bytes, now: float) -> bool:
        """Take a text message; return whether it answers one more chunk.

        Raises:
            DialectError: it does not belong to the dialect.
        """

    def close(self, now: float) -> None:
        """Take the end of the connection: provisional text becomes final."""
        if self._text:
            self.said.append(Said(now, self._text, final=True))
            self._text = ""


@dataclass(frozen=True)
class Dialect:
    """The protocol of a server.

    Attributes:
        name: on the command line.
        default_url: where such a server listens by default.
        target: from the URL of a server to where its streams are opened.
        messages: from audio to messages.
        chunk_bytes: size of a whole message.
        end: the message that ends a stream; `end_is_text`: it is not a binary one.
        looks_ahead: rule 5.
        responses: makes those of a new stream.
    """

    name: str
    default_url: str
    target: Callable[[str], str]
    messages: Callable[[NDArray[np.float32]], list[bytes]]
    chunk_bytes: int
    end: bytes
    end_is_text: bool
    looks_ahead: bool
    responses: Callable[[], Responses]


class _SherpaResponse(msgspec.Struct):
    text: str
    segment: int = 0


_read_sherpa = msgspec.json.Decoder(_SherpaResponse).decode


class _MyrtleResponses(Responses):
    """Rules 1 and 2."""

    def receive(self, message: bytes, now: float) -> bool:
        try:
            response = read_response(message)
            text = response.alternatives[0].transcript
        except (msgspec.DecodeError, IndexError) as error:
            raise DialectError(f"not a response of Myrtle's API: {message[:100]!r}") from error
        if response.is_provisional:
            if text != self._text:
                self.said.append(Said(now, text, final=False))
                self._text = text
        elif text:
            self.said.append(Said(now, text, final=True))
            self._text = ""
        messages = messages_until(response.end) - self.answered
        if messages <= 0:
            return False
        self.answered += messages
        self.chunk = max(self.chunk, messages)
        return True

    def close(self, now: float) -> None:
        """Do nothing: the last response was final."""


class _SherpaResponses(Responses):
    """Rules 3 and 4."""

    _segment = 0

    def receive(self, message: bytes, now: float) -> bool:
        if message == b"Done!":
            self.ended = True
            self.close(now)
            return False
        try:
            response = _read_sherpa(message)
        except msgspec.DecodeError as error:
            raise DialectError(f"not a response of sherpa-onnx: {message[:100]!r}") from error
        if response.segment != self._segment:
            self.close(now)
            self._segment = response.segment
        text = f" {response.text.strip()}" if response.text.strip() else ""
        if text != self._text:
            self.said.append(Said(now, text, final=False))
            self._text = text
        self.answered += 1
        return True


def _cut(audio: bytes, size: int) -> list[bytes]:
    return [audio[start : start + size] for start in range(0, len(audio), size)]


MYRTLE = Dialect(
    name="myrtle",
    default_url=DEFAULT_URL,
    target=stream_url,
    messages=lambda samples: _cut(pcm_bytes(samples), SAMPLE_BYTES * CHUNK),
    chunk_bytes=SAMPLE_BYTES * CHUNK,
    end=b"",
    end_is_text=False,
    looks_ahead=False,
    responses=_MyrtleResponses,
)
SHERPA = Dialect(
    name="sherpa",
    default_url="ws://127.0.0.1:6006",
    target=lambda url: url,
    messages=lambda samples: _cut(samples.astype("<f4").tobytes(), 4 * CHUNK),
    chunk_bytes=4 * CHUNK,
    end=b"Done",
    end_is_text=True,
    looks_ahead=True,
    responses=_SherpaResponses,
)
DIALECTS = {dialect.name: dialect for dialect in (MYRTLE, SHERPA)}
