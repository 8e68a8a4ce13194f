"""What the tests of the adapters share: an engine that says scripted words about any conversation."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Protocol

from server.protocol.states import Audio, Close, Event, Finish, Release, Restart
from stream.engine.engine import CHUNK, Hypothesis, Result, Token

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


class Channel(Protocol):
    """What is driven here."""

    def events(self) -> list[Event]: ...
    def send_result(self, result: Result) -> None: ...


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

    def run(self, channel: Channel) -> None:
        """Do what the conversation asks for until it asks for nothing."""
        while events := channel.events():
            for event in events:
                self._do(event, channel)

    def _said(self, chunk: int) -> Said:
        if callable(self.script):
            return self.script(self.stream, chunk)
        return self.script.get((self.stream, chunk), Said())

    def _do(self, event: Event, channel: Channel) -> None:
        assert not self.released, f"{event} after the slot was released"
        match event:
            case Audio(samples):
                assert not self.finished
                self.samples += len(samples)
                self.waiting += len(samples)
                while self.waiting >= CHUNK:
                    self.waiting -= CHUNK
                    self.chunks += 1
                    channel.send_result(result(self.chunks - 1, self._said(self.chunks - 1)))
            case Finish():
                assert not self.finished
                self.finished = True
                channel.send_result(result(self.chunks, self._said(-1), last=True))
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
