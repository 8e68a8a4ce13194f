"""Link: what the event loop's process and the process of an engine say to each other.

The latter is started with an `Order`. Then there is one stream socket between the two, used both ways. A frame is a little-endian u32, the number of bytes
that follow, and a list of messages in MessagePack. Messages are values; what they mean is
`server.engine.worker`'s (commands) and `server.engine.channels`' (reports) business. Channels are numbers that the
event loop chooses and never uses twice.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence
from typing import Any, TypeAlias

import msgspec
import numpy as np

from server.decoder_options import DecoderOptions
from stream.engine.engine import Result
from stream.engine.front_end import FrontEndKind
from stream.stage import Samples
from stream.vocabulary import Alphabet

__all__ = [
    "Alive",
    "Broken",
    "Close",
    "Command",
    "EndAfter",
    "Failed",
    "Finish",
    "Frames",
    "Open",
    "Order",
    "Probe",
    "Push",
    "Ready",
    "Report",
    "Restart",
    "Stepped",
    "Unloadable",
    "frame",
    "read_commands",
    "read_reports",
]

LENGTH = struct.Struct("<I")


class _Message(msgspec.Struct, array_like=True, frozen=True, gc=False):
    pass


class Order(msgspec.Struct, frozen=True, kw_only=True):
    """What the process of an engine is started for.

    Attributes:
        path: of the model; None: the bundled one.
        backend: what computes it; None: what is the fastest.
        threads: of one operator, where the slots are given.
        front_end: the model's in float, or the same in fixed point.
        slots: streams at a time; None: what the machine carries, shared by `models`.
        models: how many are served.
        decoder: how streams are decoded.
        log_format, log_level: of `server.logs`.
        log_descriptor: that log lines are written to, inherited.
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


class Open(_Message, tag=0, frozen=True):
    """Give a channel a slot.

    Attributes:
        keywords: boost of each, that its decoder favours.
    """

    channel: int
    keywords: dict[str, float]


class Push(_Message, tag=1, frozen=True):
    """Hand in samples of a channel.

    Attributes:
        data: of the samples, 16 kHz.
        wide: whether they are float32, else int16; both as the machine has them.
    """

    channel: int
    data: bytes
    wide: bool

    @property
    def samples(self) -> Samples:
        """The samples, (n,), which are read-only."""
        if self.wide:
            return np.frombuffer(self.data, np.float32)
        return np.frombuffer(self.data, np.int16)


class Finish(_Message, tag=2, frozen=True):
    """Say that a channel's stream has ended."""

    channel: int


class Restart(_Message, tag=3, frozen=True):
    """Begin a new stream in a channel's slot."""

    channel: int


class Close(_Message, tag=4, frozen=True):
    """Free a channel's slot, if it has one."""

    channel: int


class Probe(_Message, tag=5, frozen=True):
    """Ask for a sign of life, an `Alive`, which comes between two steps."""


class EndAfter(_Message, tag=6, frozen=True):
    """Let a channel's utterances end after so many seconds without text."""

    channel: int
    silence: float | None


class Ready(_Message, tag=0, frozen=True):
    """The engine is loaded; comes first, or `Unloadable` does.

    Attributes:
        slots: streams at a time.
        alphabet: what the model spells.
        about: what `GET /model` tells of the model; `language` is its primary tag, `backend` and
            `threads` are what computes it.
    """

    slots: int
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
        channels: of each result.
    """

    seconds: float
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


def frame(messages: Sequence[Command] | Sequence[Report]) -> bytes:
    """Return the frame of some messages."""
    payload = bytearray(LENGTH.size)
    _encoder.encode_into(messages, payload, LENGTH.size)
    LENGTH.pack_into(payload, 0, len(payload) - LENGTH.size)
    return bytes(payload)


class Frames:
    """Cuts what comes from a socket into the payloads of frames."""

    def __init__(self) -> None:
        self._rest = bytearray()

    def feed(self, data: bytes | memoryview) -> Iterator[bytes]:
        """Yield the payloads that are whole."""
        self._rest += data
        begin = 0
        while len(self._rest) - begin >= LENGTH.size:
            end = begin + LENGTH.size + LENGTH.unpack_from(self._rest, begin)[0]
            if end > len(self._rest):
                break
            yield bytes(self._rest[begin + LENGTH.size : end])
            begin = end
        del self._rest[:begin]
