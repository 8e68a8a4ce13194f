"""What the tests of stream protocols share: a slot and a peer that note what they get, and an engine
that says scripted words."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeAlias, TypeVar

from server.adapters.wyoming import Offer, Wyoming
from server.protocol.hotwords import Speller
from server.protocol.states import Close
from server.protocol.stream import Dialect, StreamProtocol
from stream.encoders.lstm import LSTM
from stream.engine.engine import Hypothesis, Result, Token
from stream.stage import Samples

CHUNK = LSTM.chunk_samples

_M = TypeVar("_M")
PIECES = (" one", " two", " three", "teen", ' "q\\"', "")


def token_text(token: int) -> str:
    """Return the text of a token of the vocabulary `PIECES`."""
    return PIECES[token]


@dataclass
class Said:
    """What the engine says about a chunk: ids of final tokens, of provisional ones, and endpoint."""

    tokens: tuple[int, ...] = ()
    provisional: tuple[int, ...] = ()
    endpoint: bool = False


def result(
    chunk: int, said: Said | None = None, *, last: bool = False, log_probability: float = -0.5
) -> Result:
    """Return the result of chunk `chunk`, from 0, or the last one behind so many chunks."""
    said = said or Said()

    def tokens(ids: tuple[int, ...]) -> tuple[Token, ...]:
        return tuple(Token(i, chunk, log_probability) for i in ids)

    texts, waiting = (tuple(map(token_text, ids)) for ids in (said.tokens, said.provisional))
    hypothesis = Hypothesis("".join(waiting), tokens(said.provisional), -1.0, waiting)
    return Result(
        0,
        round(0.06 * chunk, 2),
        round(0.06 * (chunk + (not last)), 2),
        "".join(texts),
        tokens(said.tokens),
        last,
        (hypothesis,) if waiting else (),
        said.endpoint,
        texts=texts,
    )


@dataclass(frozen=True)
class Open:
    """A slot was taken."""

    keywords: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Audio:
    """Samples were pushed."""

    samples: Samples


@dataclass(frozen=True)
class SetHotwords:
    """The stream was opened again."""

    keywords: Mapping[str, float]


@dataclass(frozen=True)
class EndAfter:
    """Utterances end after so much silence from here on."""

    silence: float | None


@dataclass(frozen=True)
class Finish:
    """The stream was finished."""


@dataclass(frozen=True)
class Restart:
    """Another stream was started in the slot."""


@dataclass(frozen=True)
class Release:
    """The slot was freed."""


Event: TypeAlias = Open | Audio | SetHotwords | EndAfter | Finish | Restart | Release


class Slot:
    """A channel that notes its commands; as `server.engine.channels.Channel`, it is freed once."""

    chunk = CHUNK

    def __init__(self, events: list[Event]) -> None:
        self._events, self._closed = events, False

    def push(self, samples: Samples) -> None:
        self._note(Audio(samples))

    def finish(self) -> None:
        self._note(Finish())

    def restart(self) -> None:
        self._note(Restart())

    def set_hotwords(self, keywords: Mapping[str, float]) -> None:
        self._note(SetHotwords(keywords))

    def end_after(self, silence: float | None) -> None:
        self._note(EndAfter(silence))

    def close(self) -> None:
        self._note(Release())
        self._closed = True

    def _note(self, event: Event) -> None:
        if not self._closed:
            self._events.append(event)


class Driven(StreamProtocol):
    """A stream of a dialect, and what it has told its slot and its peer."""

    def __init__(self, dialect: Dialect) -> None:
        self._said: list[Event] = []
        self._messages: list[str | Close] = []
        super().__init__(dialect, Slot(self._said), _Peer(self._messages))

    def events(self) -> list[Event]:
        """Return and forget what the slot was told."""
        return _taken(self._said)

    def messages(self) -> list[str | Close]:
        """Return and forget what the peer was sent."""
        return _taken(self._messages)


class DrivenWyoming(Wyoming):
    """A connection of Wyoming's, and what it has told its slots and its peer.

    Attributes:
        refusal: why there is no slot.
    """

    def __init__(self, offer: Offer | None = None, speller: Speller | None = None) -> None:
        self._said: list[Event] = []
        self._messages: list[bytes | Close] = []
        self.refusal: str | None = None
        super().__init__(_Peer(self._messages), self._open, offer, speller)

    def _open(self, keywords: Mapping[str, float]) -> Slot | str:
        if self.refusal is not None:
            return self.refusal
        self._said.append(Open(keywords))
        return Slot(self._said)

    def events(self) -> list[Event]:
        """Return and forget what the slots were told."""
        return _taken(self._said)

    def messages(self) -> list[bytes | Close]:
        """Return and forget what the peer was sent."""
        return _taken(self._messages)


class _Peer:
    def __init__(self, messages: list[Any]) -> None:
        self.send = self.close = messages.append


def _taken(noted: list[_M]) -> list[_M]:
    taken = noted.copy()
    noted.clear()
    return taken


@dataclass
class Engine:
    """One slot that answers at once.

    Attributes:
        script: what is said about which chunk of which stream, both from 0; -1 is the last result.
        samples: that came in, of all streams.
        released: whether the slot is free; a second time is an error, as are events afterwards.
    """

    script: Mapping[tuple[int, int], Said] | Callable[[int, int], Said] = field(
        default_factory=dict
    )
    samples: int = 0
    stream: int = 0
    chunks: int = 0
    waiting: int = 0
    finished: bool = False
    released: bool = False

    def run(self, channel: Driven | DrivenWyoming) -> None:
        """Do what the slot is told until it is told nothing more."""
        while events := channel.events():
            for event in events:
                self._do(event, channel)

    def _said(self, chunk: int) -> Said:
        if callable(self.script):
            return self.script(self.stream, chunk)
        return self.script.get((self.stream, chunk), Said())

    def _do(self, event: Event, channel: Driven | DrivenWyoming) -> None:
        assert not self.released, f"{event} after the slot was released"
        match event:
            case Audio(samples):
                assert not self.finished
                self.samples += len(samples)
                self.waiting += len(samples)
                while self.waiting >= CHUNK:
                    self.waiting -= CHUNK
                    self.chunks += 1
                    channel.receive_result(result(self.chunks - 1, self._said(self.chunks - 1)))
            case Finish():
                assert not self.finished
                self.finished = True
                channel.receive_result(result(self.chunks, self._said(-1), last=True))
            case Restart():
                assert self.finished
                self.finished = False
                self.stream += 1
                self.chunks = self.waiting = 0
            case Release():
                self.released = True


def texts(messages: list[str | Close]) -> list[str]:
    """Return the messages that are text."""
    return [message for message in messages if isinstance(message, str)]


FORMAT = {"rate": 16000, "width": 2, "channels": 1}


def event(kind: str, data: dict[str, Any] | None = None, payload: bytes = b"") -> bytes:
    header: dict[str, Any] = {"type": kind}
    if data:
        header["data"] = data
    if payload:
        header["payload_length"] = len(payload)
    return json.dumps(header).encode() + b"\n" + payload


class Opening(Engine):
    """An engine whose slot has to be asked for."""

    opened = 0

    def _do(self, event: Any, channel: Any) -> None:
        if isinstance(event, Open):
            self.opened += 1
            self.released = self.finished = False
            self.chunks = self.waiting = 0
        else:
            assert self.opened
            super()._do(event, channel)
