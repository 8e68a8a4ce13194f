"""Myrtle's websocket API without sockets, clock or threads: bytes in, events and messages out.

`ChannelProtocol` is the conversation of one channel after the upgrade (what may be asked for before
it is `server.request`). It raises on nothing that a peer sends. The adapter (`server.app`) moves
messages between the socket and this file; `server.channels` runs the events on the engine.

Audio on the wire is PCM, signed 16 bits little-endian, mono, 16 kHz, in messages of any size;
towards the engine it is (samples,) float32 in [-1, 1), in whole chunks of 960 samples (60 ms, 1920
bytes) but for the last. Times are seconds from the start of the stream.

Rules of a channel (`TRANSITIONS` is their table; a pair that is not in it changes and sends
nothing):

1. Audio is cut at chunks, wherever the messages cut it, even within a sample. Each chunk of 1920
   bytes gets a response, with or without text, in order: clients in lock-step wait for it. It is
   exactly one, unless text becomes final while other text stays provisional: then the final
   response is followed by the provisional one.
2. An empty binary message ends the stream. What is left of the audio goes to the engine; one
   closing response follows, then Close 1000. A second end is ignored.
3. If half a sample is left at the end, all text is sent as in rule 2, but the Close is 1008 and
   says so: the client's audio is damaged, or not what it says it is.
4. Audio after the end is a mistake of the client: it is not heard, and the Close is 1008 as in 3.
5. A text message is not part of this API: Close 1003.
6. A client that sends nothing for too long before the end, or at any time does not read, is closed
   with 1008.
7. The engine failed the channel: Close 1011.
8. The server shuts down and can wait no longer: the stream is ended as in rule 2, with Close 1001.
9. The peer vanished: nothing is sent. Whenever a channel closes, and only then, its slot is freed.

Rules of a response:

10. Final text never changes; provisional text follows it and is replaced by the next response.
    `start` and `end` are the chunk's, unless there is provisional text: then `start` is that of its
    first token until some of it is final, and of what follows then, `end`.
11. `confidence` is the probability of the least certain token. Behind the documented keys, and only
    where there is something in them, come `words`, those that the response completes (see
    `server.running_words`), and `end_of_utterance`. In strict mode `confidence` is 1.0 and nothing
    is added, as Myrtle's server has it.
"""

from __future__ import annotations

import enum
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import TypeAlias

import msgspec
import numpy as np
from numpy.typing import NDArray

from server.request import Parameters
from server.running_words import RunningWords
from server.transcript import TokenText
from stream.engine import Hypothesis, Result, Token
from stream.words import FRAME_SECONDS

__all__ = [
    "CHUNK_BYTES",
    "TRANSITIONS",
    "Audio",
    "ChannelProtocol",
    "Close",
    "Event",
    "Finish",
    "Input",
    "Release",
    "Restart",
    "State",
    "diagram",
    "short_close",
]

CHUNK_BYTES = 1920  # 960 samples, 60 ms
REASON_BYTES = 123  # of a Close, RFC 6455 section 5.5


class State(enum.Enum):
    """Where a channel stands."""

    OPEN = "open"
    FINISHING = "finishing"
    CLOSED = "closed"


class Input(enum.Enum):
    """What can happen to a channel: from the peer, from the engine, from the adapter's clocks."""

    AUDIO = "audio"
    END = "end"
    TEXT = "text"
    GONE = "gone"
    RESULT = "result"
    LAST = "last result"
    FAULT = "fault"
    IDLE = "idle"
    STALL = "stall"
    SHUTDOWN = "shutdown"


TRANSITIONS: Mapping[tuple[State, Input], State] = MappingProxyType(
    {
        (State.OPEN, Input.AUDIO): State.OPEN,  # 1
        (State.OPEN, Input.RESULT): State.OPEN,  # 1
        (State.OPEN, Input.END): State.FINISHING,  # 2, 3
        (State.OPEN, Input.SHUTDOWN): State.FINISHING,  # 8
        (State.OPEN, Input.LAST): State.CLOSED,  # 2
        (State.OPEN, Input.TEXT): State.CLOSED,  # 5
        (State.OPEN, Input.IDLE): State.CLOSED,  # 6
        (State.OPEN, Input.STALL): State.CLOSED,  # 6
        (State.OPEN, Input.FAULT): State.CLOSED,  # 7
        (State.OPEN, Input.GONE): State.CLOSED,  # 9
        (State.FINISHING, Input.RESULT): State.FINISHING,  # 1
        (State.FINISHING, Input.LAST): State.CLOSED,  # 2, 3, 8
        (State.FINISHING, Input.AUDIO): State.FINISHING,  # 4, 8
        (State.FINISHING, Input.TEXT): State.CLOSED,  # 5
        (State.FINISHING, Input.STALL): State.CLOSED,  # 6
        (State.FINISHING, Input.FAULT): State.CLOSED,  # 7
        (State.FINISHING, Input.GONE): State.CLOSED,  # 9
    }
)


def diagram() -> str:
    """Return the table as a Mermaid state diagram, which `docs/protocol.md` shows."""
    lines = ["stateDiagram-v2", f"    [*] --> {State.OPEN.value}"]
    arrows: dict[tuple[State, State], list[str]] = {}
    for (before, happened), after in TRANSITIONS.items():
        arrows.setdefault((before, after), []).append(happened.value)
    for (before, after), labels in arrows.items():
        lines.append(f"    {before.value} --> {after.value}: {', '.join(labels)}")
    return "\n".join([*lines, f"    {State.CLOSED.value} --> [*]"])


@dataclass(frozen=True)
class Audio:
    """Give the engine these samples: (samples,) float32."""

    samples: NDArray[np.float32]


@dataclass(frozen=True)
class Finish:
    """Tell the engine that the stream has ended."""


@dataclass(frozen=True)
class Restart:
    """Begin a new stream in the slot, whose stream is over."""


@dataclass(frozen=True)
class Release:
    """Free the slot."""


Event: TypeAlias = Audio | Finish | Restart | Release


@dataclass(frozen=True)
class Close:
    """A Close to send.

    Attributes:
        code: RFC 6455 section 7.4.
        reason: at most 123 bytes of UTF-8.
        by_peer: whether the peer closes in this protocol; it gets some time to, then this is sent.
    """

    code: int
    reason: str = ""
    by_peer: bool = False


def _short(value: float) -> float:
    """Round for the wire: 0.06 * 3 is 0.18, not 0.18000000000000002; a sample takes 0.0001 s."""
    return round(value, 4)


def short_close(code: int, reason: str) -> Close:
    """Return a Close whose reason fits into its frame."""
    return Close(code, reason.encode(errors="replace")[:REASON_BYTES].decode(errors="ignore"))


class _Alternative(msgspec.Struct):
    transcript: str
    confidence: float


class _Word(msgspec.Struct):
    word: str
    start: float
    end: float
    confidence: float


class _Response(msgspec.Struct):
    start: float
    end: float
    is_provisional: bool
    alternatives: list[_Alternative]
    words: list[_Word] | msgspec.UnsetType = msgspec.UNSET
    end_of_utterance: bool | msgspec.UnsetType = msgspec.UNSET


class ChannelProtocol:
    """The conversation of one channel, from the upgrade to the Close.

    After any call, run `events()` and send `messages_to_send()`. No method raises on what a peer
    sends, in any order.

    Args:
        parameters: what the client asked for.
        token_text: of the served model.
        strict: whether responses have nothing that Myrtle's have not.

    Attributes:
        state: where the channel stands.
        unanswered: bytes of audio that came in and whose response was not yet handed out.
    """

    def __init__(self, parameters: Parameters, token_text: TokenText, strict: bool = False) -> None:
        self._parameters = parameters
        self._strict = strict
        self._words = RunningWords(token_text)
        self._since: float | None = None  # rule 10: where the provisional text begins
        self._answered = 0  # bytes whose responses wait to be handed out
        self.state = State.OPEN
        self.unanswered = 0
        self._pcm = bytearray()  # less than a chunk
        self._farewell = Close(1000)  # what follows the last result
        self._events: list[Event] = []
        self._messages: list[str | Close] = []

    def receive_audio(self, pcm: bytes) -> None:
        """Take a binary message; an empty one is the end of the stream."""
        if not pcm:
            self.receive_end()
        elif self._happens(Input.AUDIO):
            if self.state is State.FINISHING:
                self._blame("400 audio after the empty message that ends a stream")
                return
            self.unanswered += len(pcm)
            self._pcm += pcm
            self._hand_over(len(self._pcm) // CHUNK_BYTES * CHUNK_BYTES)

    def receive_end(self) -> None:
        """Take the end of the stream."""
        if self._happens(Input.END):
            self._finish(Close(1000))

    def receive_text(self, text: str) -> None:
        """Take a text message, which is a mistake."""
        if self._happens(Input.TEXT):
            self._close(1003, f"text message of {len(text)} characters; send audio as binary ones")

    def receive_idle(self, seconds: float) -> None:
        """Take note that nothing came for so long."""
        if self._happens(Input.IDLE):
            self._close(1008, f"400 no message for {seconds:g} s; end streams with an empty one")

    def receive_stall(self, seconds: float) -> None:
        """Take note that the peer read nothing for so long."""
        if self._happens(Input.STALL):
            self._messages.clear()  # they would wait behind those that it does not read
            self._close(1008, f"400 no response was read for {seconds:g} s")

    def receive_shutdown(self, reason: str = "the server is shutting down") -> None:
        """Take note that the server can wait no longer for the end of the stream, and why."""
        if self._happens(Input.SHUTDOWN):
            self._finish(short_close(1001, reason))

    def receive_gone(self) -> None:
        """Take note that the connection is closed."""
        if self._happens(Input.GONE):
            self._messages.clear()

    def send_result(self, result: Result) -> None:
        """Answer a chunk, or close the stream with the last result."""
        if self._happens(Input.LAST if result.last else Input.RESULT):
            if result.text or not result.provisional:
                self._say_final(result)
            if result.provisional:
                self._say_provisional(result)
            if result.last:
                self._messages.append(self._farewell)
            else:
                self._answered += CHUNK_BYTES

    def send_fault(self, reason: str) -> None:
        """Close the channel because the engine failed it."""
        if self._happens(Input.FAULT):
            self._close(1011, reason)

    def events(self) -> list[Event]:
        """Return and forget what the engine has to do, in order."""
        events, self._events = self._events, []
        return events

    def messages_to_send(self) -> list[str | Close]:
        """Return and forget the messages for the peer, in order; nothing follows a Close."""
        messages, self._messages = self._messages, []
        self.unanswered -= self._answered
        self._answered = 0
        return messages

    def _say_final(self, result: Result) -> None:
        start = result.start if self._since is None else self._since
        self._since = None
        response = _Response(
            _short(start),
            _short(result.end),
            False,
            [self._alternative(result.text, result.tokens)],
        )
        if not self._strict:
            words = [
                _Word(word.text, word.start, word.end, _short(word.confidence))
                for word in self._words.add(result)
            ]
            response.words = words or msgspec.UNSET
            response.end_of_utterance = result.endpoint or msgspec.UNSET
        self._say(response)

    def _say_provisional(self, result: Result) -> None:
        best: Hypothesis = result.provisional[0]
        if self._since is None:
            begins = FRAME_SECONDS * best.tokens[0].step if best.tokens else result.start
            self._since = result.end if result.text else begins
        alternatives = [
            self._alternative(each.text, each.tokens)
            for each in result.provisional[: self._parameters.alternatives]
        ]
        self._say(_Response(_short(self._since), _short(result.end), True, alternatives))

    def _alternative(self, text: str, tokens: Iterable[Token]) -> _Alternative:
        least = 0.0 if self._strict else min((each.log_probability for each in tokens), default=0.0)
        return _Alternative(text, _short(math.exp(min(least, 0.0))))

    def _say(self, response: _Response) -> None:
        self._messages.append(msgspec.json.encode(response).decode())

    def _happens(self, happened: Input) -> bool:
        """Move on by the table; return whether anything has to be done about it."""
        after = TRANSITIONS.get((self.state, happened))
        if after is None:
            return False
        self.state = after
        if after is State.CLOSED:
            self._pcm.clear()
            self._events.append(Release())
        return True

    def _hand_over(self, size: int) -> None:
        """Give the engine the first `size` bytes, an even number, of what was kept."""
        if size:
            values = np.frombuffer(bytes(self._pcm[:size]), "<i2")
            del self._pcm[:size]
            self._events.append(Audio(np.divide(values, 32768, dtype=np.float32)))

    def _finish(self, farewell: Close) -> None:
        self._farewell = farewell
        self._hand_over(len(self._pcm) // 2 * 2)
        if self._pcm:
            self._blame("400 the audio ends within a 16-bit sample; want raw S16LE")
        self._events.append(Finish())

    def _blame(self, reason: str) -> None:
        """Say at the end, behind all text, what the client did wrong; the first mistake counts."""
        if self._farewell.code == 1000:
            self._farewell = Close(1008, reason)

    def _close(self, code: int, reason: str) -> None:
        self._messages.append(short_close(code, reason))
