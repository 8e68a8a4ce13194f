"""The states of a stream, whatever protocol it speaks, as a table.

A stream lasts from the upgrade to the Close. `server.protocol.stream` moves by this table; what
messages mean is defined in `server.adapters`, and `server.live.connection` moves bytes.

Rules (`TRANSITIONS` is their table; a pair that is not in it changes nothing and sends nothing):

1. Audio and results do not change the state. Until the stream is closed they reach the dialect,
   which decides what audio after the end means.
2. The end of the stream: the remaining audio goes to the engine, and after the last result the
   stream is closed. A second end is ignored.
3. A message that the dialect does not accept closes the stream.
4. A client that sends nothing for too long before the end gets the text of what it sent, and is closed
   with 1008; one that does not read, at any time, is closed with 1008 at once.
5. A failure of the engine closes the stream with 1011.
6. When the server shuts down and can wait no longer, the stream is ended as in rule 2, with 1001.
7. When the peer has vanished, nothing is sent. The slot is freed when the stream closes, and only
   then.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

REASON_BYTES = 123  # of a Close, RFC 6455 section 5.5


class State(enum.Enum):
    """The state of a stream."""

    OPEN = "open"
    FINISHING = "finishing"
    CLOSED = "closed"


class Input(enum.Enum):
    """What changes the state: from the peer, the engine, the clocks."""

    END = "end"
    MISTAKE = "mistake"
    GONE = "gone"
    LAST = "last result"
    FAULT = "fault"
    IDLE = "idle"
    STALL = "stall"
    SHUTDOWN = "shutdown"


TRANSITIONS: Mapping[tuple[State, Input], State] = MappingProxyType(
    {
        (State.OPEN, Input.END): State.FINISHING,  # 2
        (State.OPEN, Input.IDLE): State.FINISHING,  # 4
        (State.OPEN, Input.SHUTDOWN): State.FINISHING,  # 6
        (State.OPEN, Input.LAST): State.CLOSED,  # 2
        (State.OPEN, Input.MISTAKE): State.CLOSED,  # 3
        (State.OPEN, Input.STALL): State.CLOSED,  # 4
        (State.OPEN, Input.FAULT): State.CLOSED,  # 5
        (State.OPEN, Input.GONE): State.CLOSED,  # 7
        (State.FINISHING, Input.LAST): State.CLOSED,  # 2, 6
        (State.FINISHING, Input.MISTAKE): State.CLOSED,  # 3
        (State.FINISHING, Input.STALL): State.CLOSED,  # 4
        (State.FINISHING, Input.FAULT): State.CLOSED,  # 5
        (State.FINISHING, Input.GONE): State.CLOSED,  # 7
    }
)


@dataclass(frozen=True)
class Close:
    """A Close to send.

    Attributes:
        code: RFC 6455 section 7.4.
        reason: at most 123 bytes of UTF-8.
        by_peer: whether the peer closes first in this protocol; after some time, this is sent.
    """

    code: int
    reason: str = ""
    by_peer: bool = False


def short_close(code: int, reason: str) -> Close:
    """Return a Close whose reason fits into its frame."""
    return Close(code, reason.encode(errors="replace")[:REASON_BYTES].decode(errors="ignore"))
