"""A websocket conversation about one stream, whatever its dialect: bytes in, events and messages out.

What all protocols share stands here: the states of a channel, the way of the audio to the engine,
what happens when a peer is idle, does not read or vanishes. What a message means and what a result
looks like on the wire is the `Dialect`'s (one per file in `server.adapters`). No sockets, clock or
threads, and nothing that a peer sends raises.

Towards the engine audio is (samples,) at 16 kHz, float32 or as it came, int16, in whole chunks of 960 samples (60 ms) but
for the last of a stream. Rules, besides those of the table `server.protocol.states.TRANSITIONS`:

1. Audio at another rate is resampled; the resampler's rest follows at the end. A sample that is
   split between messages is put together; half a one at the end of a stream is dropped.
2. Audio after the end of the stream is not heard.
3. A cut ends the engine's stream and begins a new one in the same slot: `Finish`, then, behind the
   last result, `Restart`. What came in meanwhile is held back until then.
4. `unanswered` grows with what the peer makes the server keep, audio and messages, so that a session
   that stops reading at a limit keeps a bounded amount.
5. The slot is released once, when the channel closes. Nothing is sent behind a Close.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Sequence
from typing import Protocol, cast

import numpy as np

from server.protocol.sample_buffer import SampleBuffer
from server.protocol.states import (
    TRANSITIONS,
    Audio,
    Close,
    EndAfter,
    Event,
    Favour,
    Finish,
    Input,
    Release,
    Restart,
    State,
    short_close,
)
from stream.audio import Resampler, as_float
from stream.engine.engine import CHUNK, Result
from stream.front_end.log_mel import SAMPLE_RATE
from stream.stage import Samples

__all__ = ["Conversation", "Dialect"]

SAMPLE_BYTES = 2  # in `unanswered`, whatever the wire has


class Dialect(Protocol):
    """What a protocol makes of messages and results; one object per channel.

    Attributes:
        rate: of the audio, Hz, unless the dialect calls `listen_at`.
        end: how its clients end a stream; completes "end streams with ...".
        greeting: messages that a peer gets before it says anything.
        farewell: what follows the messages of the last result.
    """

    rate: int
    end: str
    greeting: tuple[str, ...]
    farewell: Close

    def receive_audio(self, channel: Conversation, message: bytes) -> None:
        """Take a binary message, before or after the end of the stream."""

    def receive_text(self, channel: Conversation, text: str) -> None:
        """Take a text message, before or after the end of the stream."""

    def send_result(self, channel: Conversation, result: Result) -> None:
        """Take a result, which may be the last of a stream."""


class Conversation:
    """The conversation of one channel, from the upgrade to the Close.

    After any call, run `events()` and send `messages_to_send()`.

    Args:
        dialect: what the peer speaks; it calls what stands below `listen_at`.

    Attributes:
        state: where the channel stands.
        before: seconds of audio before the engine's stream, which a cut begins anew.
    """

    def __init__(self, dialect: Dialect) -> None:
        self.state = State.OPEN
        self.before = 0.0
        self._dialect = dialect
        self._farewell = dialect.farewell
        self._rate = dialect.rate
        self._resampler = Resampler(self._rate)
        self._bytes = SampleBuffer()
        self._rest: list[Samples] = []  # less than a chunk
        self._held: deque[Event] = deque()  # behind a cut
        self._cutting = False
        # Samples at 16 kHz: what came in, until the latest cut, went to the engine, has a result.
        self._received = self._cut_at = self._passed = self._heard = 0
        self._events: list[Event] = []
        self._messages: list[str | Close] = list(dialect.greeting)
        self._closed = False  # a Close was said

    # What happens, for the session.

    def receive_audio(self, message: bytes) -> None:
        """Take a binary message."""
        if self._happens(Input.AUDIO):
            self._dialect.receive_audio(self, message)

    def receive_text(self, text: str) -> None:
        """Take a text message."""
        if self.state is not State.CLOSED:
            self._dialect.receive_text(self, text)

    def receive_end(self) -> None:
        """Take the end of the stream."""
        if self._happens(Input.END):
            self._finish(self._dialect.farewell)

    def receive_idle(self, seconds: float) -> None:
        """Take note that nothing came for so long."""
        if self._happens(Input.IDLE):
            self._say(
                short_close(
                    1008, f"400 no message for {seconds:g} s; end streams with {self._dialect.end}"
                )
            )

    def receive_stall(self, seconds: float) -> None:
        """Take note that the peer read nothing for so long."""
        if self._happens(Input.STALL):
            self._messages.clear()  # they would wait behind those that it does not read
            self._say(short_close(1008, f"400 no response was read for {seconds:g} s"))

    def receive_shutdown(self, reason: str = "the server is shutting down") -> None:
        """Take note that the server can wait no longer for the end of the stream, and why."""
        if self._happens(Input.SHUTDOWN):
            self._finish(short_close(1001, reason))

    def receive_gone(self) -> None:
        """Take note that the connection is closed."""
        if self._happens(Input.GONE):
            self._messages.clear()
            self._closed = True

    def send_result(self, result: Result) -> None:
        """Take a result of the engine."""
        over = result.last and not self._cutting
        if self._happens(Input.LAST if over else Input.RESULT):
            self._heard = self._passed if result.last else min(self._heard + CHUNK, self._passed)
            self._dialect.send_result(self, result)
            if over:
                self._say(self._farewell)
            elif result.last:
                self._resume()

    def send_fault(self, reason: str) -> None:
        """Close the channel because the engine failed it."""
        if self._happens(Input.FAULT):
            self._say(short_close(1011, reason))

    def events(self) -> list[Event]:
        """Return and forget what the engine has to do, in order."""
        events, self._events = self._events, []
        return events

    def messages_to_send(self) -> list[str | Close]:
        """Return and forget the messages for the peer, in order; nothing follows a Close."""
        messages, self._messages = self._messages, []
        return messages

    @property
    def unanswered(self) -> int:
        """Bytes of audio, as 16 bits at 16 kHz, without a result; and characters not handed out.

        What waits behind a cut counts a chunk more each, so that cuts alone are bounded too.
        """
        waiting = sum(len(message) for message in self._messages if isinstance(message, str))
        samples = self._received - self._heard + CHUNK * len(self._held)
        return SAMPLE_BYTES * samples + waiting

    # What it means, by the dialect.

    @property
    def begun(self) -> bool:
        """Whether audio has come."""
        return bool(self._received)

    def listen_at(self, rate: int) -> None:
        """Expect audio at another rate, Hz, from the next sample on."""
        if rate != self._rate and self.state is State.OPEN:
            self._keep(self._resampler.finish())
            self._rate = rate
            self._resampler = Resampler(rate)

    def favour(self, keywords: Mapping[str, float]) -> None:
        """Let the engine favour keywords; before the first sample only."""
        assert not self.begun, "the stream has begun"
        if self.state is State.OPEN:
            self._pass_on(Favour(keywords))

    def end_after(self, silence: float | None) -> None:
        """Let the engine end utterances after so many seconds without text, from here on."""
        if self.state is State.OPEN:
            self._pass_on(EndAfter(silence))

    def whole_frames(self, message: bytes, frame_bytes: int) -> bytes:
        """Return the bytes that are whole frames now; a rest is completed by the next message."""
        return self._bytes.take(message, frame_bytes)

    @property
    def ends_within_a_frame(self) -> bool:
        """Whether the audio so far does."""
        return bool(self._bytes.left)

    def push(self, samples: Samples) -> int:
        """Give the engine samples, (n,) at the rate of the wire, float32, or int16 of full scale.

        Returns:
            How many results, but for the last, are due for all audio behind the latest cut.
        """
        if self.state is State.OPEN:
            self._keep(self._resampler.push(samples))
        return (self._received - self._cut_at) // CHUNK

    def cut(self) -> None:
        """End the engine's stream and go on with a new one; `send_result` sees its last result."""
        if self.state is State.OPEN:
            self._flush()
            self._cut_at = self._received
            self._resampler = Resampler(self._rate)
            self._pass_on(Restart())

    def say(self, message: str) -> None:
        """Send a message."""
        self._say(message)

    def blame(self, reason: str) -> None:
        """Say with the Close, behind all text, what the peer did wrong; the first mistake counts."""
        if self._farewell.code == 1000:
            self._farewell = short_close(1008, reason)

    def close(self, code: int, reason: str) -> None:
        """Close the channel because of what the peer did."""
        if self._happens(Input.MISTAKE):
            self._say(short_close(code, reason))

    # How.

    def _happens(self, happened: Input) -> bool:
        """Move on by the table; return whether anything has to be done about it."""
        after = TRANSITIONS.get((self.state, happened))
        if after is None:
            return False
        self.state = after
        if after is State.CLOSED:
            self._rest.clear()
            self._held.clear()
            self._heard = self._received
            self._events.append(Release())
        return True

    def _keep(self, samples: Samples) -> None:
        """Keep samples at 16 kHz, and pass on what are whole chunks of a stream."""
        if len(samples):
            self._rest.append(samples)
            waiting = (self._received - self._cut_at) % CHUNK + len(samples)
            self._received += len(samples)
            if waiting >= CHUNK:
                together = _joined(self._rest)
                whole = waiting // CHUNK * CHUNK
                self._rest = [together[whole:]] if whole < waiting else []
                self._pass_on(Audio(together[:whole]))

    def _flush(self) -> None:
        """Pass on all audio that is left of a stream."""
        self._bytes.drop()
        self._keep(self._resampler.finish())
        if self._rest:
            self._pass_on(Audio(_joined(self._rest)))
            self._rest.clear()

    def _finish(self, farewell: Close) -> None:
        self._farewell = farewell
        self._flush()
        self._pass_on(Finish())

    def _pass_on(self, event: Event) -> None:
        """Give the engine an event, behind those that wait for a cut."""
        self._held.append(event)
        self._pass_on_held()

    def _pass_on_held(self) -> None:
        while self._held and not self._cutting:
            first = self._held.popleft()
            self._cutting = isinstance(first, Restart)
            self._events.append(Finish() if self._cutting else first)
            if isinstance(first, Audio):
                self._passed += len(first.samples)

    def _resume(self) -> None:
        """Begin the stream behind a cut."""
        self._cutting = False
        self.before = self._passed / SAMPLE_RATE
        self._events.append(Restart())
        self._pass_on_held()

    def _say(self, message: str | Close) -> None:
        if not self._closed:
            self._closed = isinstance(message, Close)
            self._messages.append(message)


def _joined(pieces: Sequence[Samples]) -> Samples:
    """Return pieces of a stream in one; float32 where a change of the rate has made some so."""
    if len(pieces) == 1:
        return pieces[0]
    if len({piece.dtype for piece in pieces}) > 1:
        pieces = [as_float(piece) for piece in pieces]
    return cast(Samples, np.concatenate(pieces))
