"""What every channel has in common, whatever is spoken on it: states, events, and their table.

A channel is one stream of audio from the upgrade to the Close. Values only: `server.protocol.stream`
moves by the table, `server.adapters` say what messages mean, `server.live.connection` moves bytes between them
and a socket, `server.engine.channels` runs the events on the engine.

Rules of a channel (`TRANSITIONS` is their table; a pair that is not in it changes and sends
nothing):

1. Audio and results change nothing while the stream is open or being finished. What audio behind its
   end means is the dialect's.
2. The end of the stream: what is left of the audio goes to the engine, and behind the last result the
   channel closes. A second end is ignored.
3. What a dialect does not take from its client closes the channel.
4. A client that sends nothing for too long before the end, or at any time does not read, is closed
   with 1008.
5. The engine failed the channel: Close 1011.
6. The server shuts down and can wait no longer: the stream is ended as in rule 2, with Close 1001.
7. The peer vanished: nothing is sent. Whenever a channel closes, and only then, its slot is freed.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import TypeAlias

from stream.stage import Samples

__all__ = [
    "NO_KEYWORDS",
    "TRANSITIONS",
    "Audio",
    "Close",
    "EndAfter",
    "Event",
    "Favour",
    "Finish",
    "Input",
    "Release",
    "Restart",
    "State",
    "diagram",
    "short_close",
]

NO_KEYWORDS: Mapping[str, float] = MappingProxyType({})
REASON_BYTES = 123  # of a Close, RFC 6455 section 5.5


class State(enum.Enum):
    """Where a channel stands."""

    __hash__ = object.__hash__  # enum's own is no C; this one is asked for with each message

    OPEN = "open"
    FINISHING = "finishing"
    CLOSED = "closed"


class Input(enum.Enum):
    """What can happen to a channel: from the peer, the engine, the clocks."""

    __hash__ = object.__hash__

    AUDIO = "audio"
    END = "end"
    MISTAKE = "mistake"
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
        (State.OPEN, Input.END): State.FINISHING,  # 2
        (State.OPEN, Input.SHUTDOWN): State.FINISHING,  # 6
        (State.OPEN, Input.LAST): State.CLOSED,  # 2
        (State.OPEN, Input.MISTAKE): State.CLOSED,  # 3
        (State.OPEN, Input.IDLE): State.CLOSED,  # 4
        (State.OPEN, Input.STALL): State.CLOSED,  # 4
        (State.OPEN, Input.FAULT): State.CLOSED,  # 5
        (State.OPEN, Input.GONE): State.CLOSED,  # 7
        (State.FINISHING, Input.RESULT): State.FINISHING,  # 1
        (State.FINISHING, Input.LAST): State.CLOSED,  # 2, 6
        (State.FINISHING, Input.AUDIO): State.FINISHING,  # 1
        (State.FINISHING, Input.MISTAKE): State.CLOSED,  # 3
        (State.FINISHING, Input.STALL): State.CLOSED,  # 4
        (State.FINISHING, Input.FAULT): State.CLOSED,  # 5
        (State.FINISHING, Input.GONE): State.CLOSED,  # 7
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
    """Give the engine these samples: (samples,) float32, or int16 of full scale."""

    samples: Samples


@dataclass(frozen=True)
class Finish:
    """Tell the engine that the stream has ended."""


@dataclass(frozen=True)
class Restart:
    """Begin a new stream in the slot, whose stream is over."""


@dataclass(frozen=True)
class Release:
    """Free the slot."""


@dataclass(frozen=True)
class Favour:
    """Recognise with these keywords, by their boosts; comes before any audio."""

    keywords: Mapping[str, float]


@dataclass(frozen=True)
class EndAfter:
    """Let utterances end after so many seconds without text, behind the audio so far."""

    silence: float | None


Event: TypeAlias = Audio | Finish | Restart | Release | Favour | EndAfter


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


def short_close(code: int, reason: str) -> Close:
    """Return a Close whose reason fits into its frame."""
    return Close(code, reason.encode(errors="replace")[:REASON_BYTES].decode(errors="ignore"))
