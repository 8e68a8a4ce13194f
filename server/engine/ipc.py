"""The messages between the event loop's process and the process of an engine.

The engine's process is started with `EngineOptions`. Then there is one stream socket between the two,
used both ways. A frame on it is a little-endian u32, the number of bytes that follow, and a list of
messages in MessagePack. Channels are numbers that the event loop chooses; each is one client's stream.

Commands (to the engine) are run by `server.engine.worker`, reports (from it) by
`server.engine.channels`. What costs time for each chunk of each channel is one message for all of
them: a `Push` has samples of many channels, a `Stepped` the numbers of all that said nothing.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator, Sequence
from typing import Any, TypeAlias

import msgspec
import numpy as np

from stream.decoding.options import DecoderOptions
from stream.engine.engine import Result
from stream.engine.front_end import FrontEndKind
from stream.stage import Samples
from stream.vocabulary import Alphabet

LENGTH = struct.Struct("<I")
WIDE_BYTES = 4  # of a float32


class _Message(msgspec.Struct, array_like=True, frozen=True, gc=False):
    pass


class EngineOptions(msgspec.Struct, frozen=True, kw_only=True):
    """What the process of an engine is started with.

    Attributes:
        path: of the model; None: the bundled one.
        backend: what computes it; None: the fastest.
        chunk_ms: length of a chunk; None: the model's own.
        threads: of one operator, where `slots` is given.
        front_end: the model's in float, or the same in fixed point.
        slots: streams at a time; None: what the machine carries, shared by `models`.
        models: how many are served.
        decoder: how streams are decoded.
        log_format, log_level: of `server.logs`.
        log_descriptor: the inherited file descriptor of the log.
    """

    path: str | None
    backend: str | None
    front_end: FrontEndKind
    slots: int | None
    models: int
    decoder: DecoderOptions
    log_format: str
    log_descriptor: int = 2
    log_level: str = "info"
    threads: int = 1
    chunk_ms: int | None = None


class Open(_Message, tag=0, frozen=True):
    """Give a channel a slot.

    Attributes:
        keywords: the boost of each, for its decoder.
    """

    channel: int
    keywords: dict[str, float]


class Push(_Message, tag=1, frozen=True):
    """Hand in samples of some channels.

    Attributes:
        channels: one or more; may repeat.
        counts: samples of each.
        data: all samples, 16 kHz, one channel after the other.
        wide: whether they are float32, else int16; in the machine's byte order.
    """

    channels: list[int]
    counts: list[int]
    data: memoryview
    wide: bool

    @property
    def samples(self) -> Samples:
        """All samples, (sum of counts,), read-only."""
        if self.wide:
            return np.frombuffer(self.data, np.float32)
        return np.frombuffer(self.data, np.int16)


class Finish(_Message, tag=2, frozen=True):
    """Finish a channel's stream: its last result comes after those still due."""

    channel: int


class Restart(_Message, tag=3, frozen=True):
    """Start a new stream in a channel's slot, after the last result of the one before."""

    channel: int


class Close(_Message, tag=4, frozen=True):
    """Free a channel's slot, if it has one."""

    channel: int


class Probe(_Message, tag=5, frozen=True):
    """Ask for an `Alive`, which comes between two steps."""


class EndAfter(_Message, tag=6, frozen=True):
    """End a channel's utterances after so many seconds without text."""

    channel: int
    silence: float | None


class Ready(_Message, tag=0, frozen=True):
    """The engine is loaded. This or `Unloadable` comes first.

    Attributes:
        slots: streams at a time.
        chunk_samples: of a step, for each of which a result is due.
        alphabet: what the model spells.
        about: what `GET /model` tells of the model; `language` is its primary tag, `backend` and
            `threads` are what computes it.
    """

    slots: int
    chunk_samples: int
    alphabet: Alphabet
    about: dict[str, Any]


class Unloadable(_Message, tag=1, frozen=True):
    """The model cannot be served.

    Attributes:
        missing: whether a package is missing that it needs.
    """

    reason: str
    missing: bool


class Stepped(_Message, tag=2, frozen=True):
    """A step was made.

    Attributes:
        seconds: that it took.
        silent: channels of which a chunk was consumed and that said nothing.
        channels: of each result.
        results: all others.
    """

    seconds: float
    silent: list[int]
    channels: list[int]
    results: list[Result]


class Failed(_Message, tag=3, frozen=True):
    """Some channels failed; their slots are free."""

    channels: list[int]
    reason: str


class Broken(_Message, tag=4, frozen=True):
    """The engine is broken, for this reason; nothing follows."""

    reason: str


class Alive(_Message, tag=5, frozen=True):
    """The answer to a `Probe`."""


Command: TypeAlias = Open | Push | Finish | Restart | Close | Probe | EndAfter
Report: TypeAlias = Ready | Unloadable | Stepped | Failed | Broken | Alive

_encoder = msgspec.msgpack.Encoder()
read_commands = msgspec.msgpack.Decoder(list[Command]).decode
read_reports = msgspec.msgpack.Decoder(list[Report]).decode


def frame(messages: Sequence[Command] | Sequence[Report]) -> bytearray:
    """Return the frame of some messages."""
    framed = bytearray(LENGTH.size)
    _encoder.encode_into(messages, framed, LENGTH.size)
    LENGTH.pack_into(framed, 0, len(framed) - LENGTH.size)
    return framed


class Outbox:
    """Commands that wait to be sent in one frame, in order; pushes in a row become one `Push`.

    Args:
        wake: called with the first command; somebody has to `take` the frame then.
    """

    def __init__(self, wake: Callable[[], object]) -> None:
        self._wake = wake
        self._commands: list[Command] = []
        self._channels: list[int] = []  # of the pushes after the commands
        self._samples: list[memoryview] = []

    def add(self, command: Command) -> None:
        """Add a command."""
        self._join()
        if not self._commands:
            self._wake()
        self._commands.append(command)

    def push(self, channel: int, samples: Samples) -> None:
        """Add samples of a channel, float32 or int16; they must not change until they are sent."""
        if not self._channels:
            if not self._commands:
                self._wake()
        elif samples.itemsize != self._samples[0].itemsize:
            self._join()
        self._channels.append(channel)
        self._samples.append(samples.data)

    def take(self) -> bytearray:
        """Return the frame of all commands, and forget them."""
        self._join()
        commands, self._commands = self._commands, []
        return frame(commands)

    def _join(self) -> None:
        if self._channels:
            counts, wide = list(map(len, self._samples)), self._samples[0].itemsize == WIDE_BYTES
            data = memoryview(b"".join(self._samples))
            self._commands.append(Push(self._channels, counts, data, wide))
            self._channels, self._samples = [], []


class Frames:
    """Cuts what comes from a socket into the payloads of frames."""

    def __init__(self) -> None:
        self._rest = b""

    def feed(self, data: bytes | memoryview) -> Iterator[bytes]:
        """Yield the payloads that are complete; `data` may change afterwards."""
        if self._rest:
            data = self._rest + data
        begin, size = 0, len(data)
        while size - begin >= LENGTH.size:
            end = begin + LENGTH.size + LENGTH.unpack_from(data, begin)[0]
            if end > size:
                break
            yield bytes(data[begin + LENGTH.size : end])
            begin = end
        self._rest = bytes(data[begin:])
