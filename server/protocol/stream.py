"""One stream of a client, whatever its protocol: messages in, commands and messages out.

This is what all protocols share: the states of a stream, its audio on the way to the engine, and what
happens when a peer is idle, does not read or vanishes. What a message means, and what a result looks
like on the wire, is up to a `Dialect` (one per file in `server.adapters`). There are no sockets,
clocks or threads here, and nothing that a peer sends raises.

Both neighbours are called directly: the engine's `Channel` with the commands of the link
(`server.engine.ipc`: push, finish, restart, close), the `Peer` with messages. Audio goes to the
engine as (samples,) at 16 kHz, int16 as it came or float32, in whole chunks of the model,
except the last of a stream. Rules, in addition to `server.protocol.states.TRANSITIONS`:

1. Audio at another rate is resampled; what the resampler still holds follows at the end. A sample
   that is split between messages is put together; half a sample at the end is dropped.
2. Audio after the end of the stream is ignored.
3. A restart finishes the engine's stream and starts another one in the same slot, after the last
   result. What comes in meanwhile is held back until then.
4. `unanswered` grows with all audio that the peer makes the server keep, so that a connection that
   stops reading at a limit keeps a bounded amount.
5. The slot is freed once, when the stream closes. Nothing is sent after a Close.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol, cast

import numpy as np

from server.protocol.sample_buffer import SampleBuffer
from server.protocol.states import TRANSITIONS, Close, Input, State, short_close
from stream.audio import Resampler, as_float
from stream.engine.engine import Result
from stream.front_end.log_mel import SAMPLE_RATE
from stream.stage import Samples

SAMPLE_BYTES = 2  # in `unanswered`, whatever the wire has


# What clients send in place of samples, such as the pieces of a browser's MediaRecorder: where its mark
# stands, the mark, and its name. Four bytes are no accident.
CONTAINERS = (
    (0, b"\x1aE\xdf\xa3", "WebM"),
    (4, b"ftyp", "MPEG-4"),
    (0, b"OggS", "Ogg"),
    (0, b"fLaC", "FLAC"),
)


class Channel(Protocol):
    """A slot of the engine, as `server.engine.channels.Channel`."""

    chunk: int  # samples for each of which a result is due

    def push(self, samples: Samples) -> None: ...
    def finish(self) -> None: ...
    def restart(self) -> None: ...
    def close(self) -> None: ...
    def set_hotwords(self, keywords: Mapping[str, float]) -> None: ...
    def end_after(self, silence: float | None) -> None: ...


class Peer(Protocol):
    """The client, as `server.live.connection.Connection`."""

    def send(self, message: str) -> None: ...
    def close(self, close: Close) -> None: ...


class Dialect(ABC):
    """What messages and results mean in one protocol; one object per stream.

    Attributes:
        rate: sample rate of the audio, Hz, until the dialect calls `set_rate`.
        end: how its clients end a stream; completes "end streams with ...".
        closing: the Close after the last result.
        outlives_peer: whether a peer that closes the connection has ended its stream, whose text
            still comes, for others.
    """

    rate: int
    end: str
    closing = Close(1000)
    outlives_peer = False

    def begin(self, stream: StreamProtocol) -> None:  # noqa: B027 - most have nothing to say
        """Do what comes before the first message of the peer."""

    def closed(self) -> None:  # noqa: B027 - as above
        """Do what comes after the last result, or when there is none."""

    def idle_close(self, seconds: float) -> Close:
        """Return the Close for a peer that has sent nothing for so long."""
        return short_close(1008, f"400 no message for {seconds:g} s; end streams with {self.end}")

    @abstractmethod
    def receive_audio(self, stream: StreamProtocol, message: bytes) -> None:
        """Take a binary message, before or after the end of the stream."""

    @abstractmethod
    def receive_text(self, stream: StreamProtocol, text: str) -> None:
        """Take a text message, before or after the end of the stream."""

    @abstractmethod
    def send_result(self, stream: StreamProtocol, result: Result) -> None:
        """Send what a result means to the client; it may be the last of a stream."""


class StreamProtocol:
    """One stream, from the upgrade to the Close.

    Args:
        dialect: the protocol of the peer; it calls the methods below `set_rate`.
        channel: the slot in which the stream is recognised.
        peer: where messages go.

    Attributes:
        state: of the stream.
        offset: seconds of audio before the current stream of the engine; grows with each restart.
    """

    def __init__(self, dialect: Dialect, channel: Channel, peer: Peer) -> None:
        self.state = State.OPEN
        self.offset = 0.0
        self._dialect = dialect
        self._channel = channel
        self._chunk = channel.chunk
        self._peer = peer
        self._closing = dialect.closing
        self._rate = dialect.rate
        self._resampler = Resampler(self._rate)
        self._frames = SampleBuffer()
        self._began = False  # audio has come
        self._rest: list[Samples] = []  # less than a chunk
        self._held: deque[tuple[Callable[..., None], tuple[Any, ...]]] = deque()  # rule 3
        self._restarting = False
        # Samples at 16 kHz: received, of them before the last restart, pushed, with a result.
        self._received = self._restarted = self._pushed = self._answered = 0
        self._closed = False  # a Close was sent, or need not be
        self._deserted = False  # by the peer, before the end
        dialect.begin(self)

    # Input, from the connection and the engine.

    def receive(self, message: str | bytes) -> bool:
        """Take a message; return whether it is more than a sign of life, as all are here."""
        if self.state is not State.CLOSED:
            if isinstance(message, str):
                self._dialect.receive_text(self, message)
            else:
                self._dialect.receive_audio(self, message)
        return True

    def receive_end(self) -> None:
        """Take the end of the stream."""
        if self._move(Input.END):
            self._finish(self._dialect.closing)

    def receive_idle(self, seconds: float) -> None:
        """End the stream because nothing was received for so long, and say so."""
        if self._move(Input.IDLE):
            self._finish(self._dialect.idle_close(seconds))

    def receive_stall(self, seconds: float) -> None:
        """Close the stream because the peer read nothing for so long."""
        if self._move(Input.STALL):
            self._close(short_close(1008, f"400 no response was read for {seconds:g} s"))

    def receive_shutdown(
        self, reason: str = "the server is shutting down", code: int = 1001
    ) -> None:
        """End the stream because the server cannot wait for its end, and say why."""
        if self._move(Input.SHUTDOWN):
            self._finish(short_close(code, reason))

    def receive_hangup(self) -> None:
        """Take note that the peer has closed the connection."""
        if self._dialect.outlives_peer:
            self._deserted = True
            self.receive_end()
        else:
            self.receive_gone()

    def receive_gone(self) -> None:
        """Close the stream because the connection is closed, whatever is still to come."""
        if not self._closed:
            self._closed = True
            self._dialect.closed()
        self._move(Input.GONE)

    def receive_result(self, result: Result) -> None:
        """Take a result of the engine."""
        if self.state is State.CLOSED:
            return
        if not result.last:
            self._answered = min(self._answered + self._chunk, self._pushed)
            self._dialect.send_result(self, result)
            return
        self._answered = self._pushed
        over = not self._restarting and self._move(Input.LAST)
        self._dialect.send_result(self, result)
        if over:
            self._close(self._closing)
        else:
            self._resume()

    def receive_fault(self, reason: str) -> None:
        """Close the stream because the engine failed it."""
        if self._move(Input.FAULT):
            self._close(short_close(1011, reason))

    @property
    def unanswered(self) -> int:
        """Bytes of audio without a result, as 16 bits at 16 kHz.

        What waits for a restart counts a chunk more per command, so that restarts alone are
        bounded too.
        """
        return SAMPLE_BYTES * (self._received - self._answered + self._chunk * len(self._held))

    @property
    def audio_seconds(self) -> float:
        """Seconds of audio that went to the engine."""
        return self._pushed / SAMPLE_RATE

    def has_slot(self) -> bool:
        """Return whether the engine is working for the client."""
        return self.state is not State.CLOSED

    # What the dialect does.

    @property
    def has_audio(self) -> bool:
        """Whether audio was received."""
        return bool(self._received)

    def set_rate(self, rate: int) -> None:
        """Expect audio at another rate, Hz, from the next sample on."""
        if rate != self._rate and self.state is State.OPEN:
            self._keep(self._resampler.finish())
            self._rate = rate
            self._resampler = Resampler(rate)

    def set_hotwords(self, keywords: Mapping[str, float]) -> None:
        """Recognise with keywords, given with their boosts; before the first sample only."""
        assert not self.has_audio, "the stream has begun"
        if self.state is State.OPEN:
            self._run(self._channel.set_hotwords, keywords)

    def end_after(self, silence: float | None) -> None:
        """End utterances after so many seconds without text, from here on."""
        if self.state is State.OPEN:
            self._run(self._channel.end_after, silence)

    @property
    def ends_within_a_frame(self) -> bool:
        """Whether the audio so far ends within a frame."""
        return bool(self._frames.left)

    def push(self, samples: Samples) -> int:
        """Give the engine samples, (n,) at the rate of the wire, float32, or int16 of full scale.

        Returns:
            How many results, not counting the last, are due for all audio since the last restart.
        """
        if self.state is State.OPEN:
            if self._rate != SAMPLE_RATE:
                samples = self._resampler.push(samples)
            self._keep(samples)
        return (self._received - self._restarted) // self._chunk

    def restart(self) -> None:
        """Finish the engine's stream and start another; its last result still comes."""
        if self.state is State.OPEN:
            self._flush()
            self._restarted = self._received
            self._resampler = Resampler(self._rate)
            self._run(self._finish_for_restart)

    def send(self, message: str) -> None:
        """Send a message."""
        if not (self._closed or self._deserted):
            self._peer.send(message)

    def whole_frames(self, message: bytes, frame_bytes: int) -> bytes:
        """Return the whole frames of a message; the rest is completed by the next one.

        A stream that begins as a recording in a container is closed: as samples it would be noise.
        """
        if message and not self._began:
            self._began = True
            for at, mark, name in CONTAINERS:
                if message[at:].startswith(mark):
                    self.close(1003, f"the audio is {name}; want raw PCM, or upload the recording")
                    return b""
        return self._frames.take(message, frame_bytes)

    def note_mistake(self, reason: str) -> None:
        """Say in the Close, after all text, what the peer did wrong; the first mistake counts."""
        if self._closing.code == 1000:
            self._closing = short_close(1008, reason)

    def close(self, code: int, reason: str) -> None:
        """Close the stream because of a mistake of the peer."""
        if self._move(Input.MISTAKE):
            self._close(short_close(code, reason))

    # How it is done.

    def _move(self, happened: Input) -> bool:
        """Change the state by the table; return whether the input counts in this state."""
        after = TRANSITIONS.get((self.state, happened))
        if after is None:
            return False
        self.state = after
        if after is State.CLOSED:
            self._rest.clear()
            self._held.clear()
            self._answered = self._received
            self._channel.close()
        return True

    def _keep(self, samples: Samples) -> None:
        """Keep samples at 16 kHz, and push the whole chunks."""
        count = len(samples)
        if not count:
            return
        waiting = (self._received - self._restarted) % self._chunk + count
        self._received += count
        if self._rest or waiting % self._chunk:
            self._rest.append(samples)
            if waiting < self._chunk:
                return
            samples = _joined(self._rest)
            whole = waiting // self._chunk * self._chunk
            self._rest = [samples[whole:]] if whole < waiting else []
            samples = samples[:whole]
        self._run(self._push, samples)

    def _flush(self) -> None:
        """Push all audio that is left of a stream."""
        self._frames.drop()
        self._keep(self._resampler.finish())
        if self._rest:
            self._run(self._push, _joined(self._rest))
            self._rest.clear()

    def _finish(self, closing: Close) -> None:
        self._closing = closing
        self._flush()
        self._run(self._channel.finish)

    def _run(self, command: Callable[..., None], *arguments: Any) -> None:
        """Run a command, or hold it back while the engine has to finish a stream first."""
        if self._restarting:
            self._held.append((command, arguments))
        else:
            command(*arguments)

    def _push(self, samples: Samples) -> None:
        self._pushed += len(samples)
        self._channel.push(samples)

    def _finish_for_restart(self) -> None:
        self._restarting = True
        self._channel.finish()

    def _resume(self) -> None:
        """Start the stream after a restart, and run what was held back up to the next one."""
        self._restarting = False
        self.offset = self._pushed / SAMPLE_RATE
        self._channel.restart()
        while self._held and not self._restarting:
            command, arguments = self._held.popleft()
            command(*arguments)

    def _close(self, close: Close) -> None:
        if not self._closed:
            self._closed = True
            self._dialect.closed()
            self._peer.close(close)


def _joined(pieces: Sequence[Samples]) -> Samples:
    """Return pieces of a stream in one; float32 where a change of the rate has made some so."""
    if len(pieces) == 1:
        return pieces[0]
    if len({piece.dtype for piece in pieces}) > 1:
        pieces = [as_float(piece) for piece in pieces]
    return cast(Samples, np.concatenate(pieces))
