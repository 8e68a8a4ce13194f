"""A call: what the protocols of telephone systems have in common.

A telephone system sends the audio of a call, and has no use for its text. So text goes to those who watch
the call (`server.live.calls`), and to the socket only where a protocol says so. Rules:

1. {"event": "start", "call": "CA1f"} comes first. A transcript message is sent whenever the text of an
   utterance changes, and once it is final:

       {"event": "transcript", "call": "CA1f", "is_final": true, "text": "one two", "start": 0.3,
        "end": 2.1, "words": [{"word": "one", "start": 0.42, "end": 0.66, "confidence": 0.98}, ...]}

   Utterances without text have none. Times are seconds from the first audio.
2. When the system hangs up, by its message or by closing the connection, the rest of the text still
   comes; then {"event": "end", "call": "CA1f"}.
3. Messages of the system that this server has no use for are ignored. Anything else closes with 1003,
   and audio that cannot be decoded with 1008.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol, TypeAlias

import msgspec

from server.protocol.encodings import Encoding
from server.protocol.stream import Dialect, StreamProtocol
from server.protocol.utterances import Utterance, Utterances
from stream.audio.g711 import RATE
from stream.engine.engine import Result


class Publish(Protocol):
    """Takes the messages of a call, and None at its end."""

    def __call__(self, message: str | None, keep: bool = False) -> None:
        """Tell those who watch; what is kept is for those who come later, too."""


OpenCall: TypeAlias = Callable[[str], Publish]


def unwatched(call_id: str) -> Publish:
    """Open a call that nobody can watch."""
    return lambda message, keep=False: None


class Call(Dialect):
    """One call.

    Args:
        open_call: lets a call be watched by its id.
    """

    rate = RATE
    end = "the end of the call"
    outlives_peer = True

    def __init__(self, open_call: OpenCall) -> None:
        self._open_call = open_call
        self._publish: Publish | None = None
        self._id = ""
        self._utterances = Utterances()

    def start(self, call_id: str) -> None:
        """Let the call be watched, once its id is known; a second id is ignored."""
        if self._publish is None and call_id:
            self._id = call_id
            self._publish = self._open_call(call_id)
            self._publish(_encode({"event": "start", "call": call_id}), keep=True)

    def push(self, stream: StreamProtocol, audio: bytes, encoding: Encoding) -> None:
        """Give the engine audio."""
        whole = stream.whole_frames(audio, encoding.sample_bytes)
        stream.push(encoding.decode(whole))

    def send_result(self, stream: StreamProtocol, result: Result) -> None:
        """Tell what a result changes."""
        utterance = self._utterances.add(result, stream.offset)
        if utterance is not None and utterance.text:
            self.tell(stream, {"event": "transcript", "call": self._id, **_describe(utterance)})

    def tell(self, stream: StreamProtocol, message: dict[str, Any]) -> None:
        """Send a transcript message to those who watch."""
        if self._publish is not None:
            self._publish(_encode(message), keep=message["is_final"])

    def closed(self) -> None:
        """Let go of those who watch."""
        publish, self._publish = self._publish, None
        if publish is not None:
            publish(_encode({"event": "end", "call": self._id}))
            publish(None)


def _encode(message: dict[str, Any]) -> str:
    return msgspec.json.encode(message).decode()


def _describe(utterance: Utterance) -> dict[str, Any]:
    return {
        "is_final": utterance.final,
        "text": utterance.text,
        "start": utterance.start,
        "end": utterance.end,
        "words": [word.describe() for word in utterance.words],
    }
