"""Live sessions: one connection, its protocol and its channel, whatever the wire and the protocol.

A session moves messages between a `Wire` (a websocket or a TCP connection), a protocol without I/O
(`server.protocol.states`, `server.protocol.stream`, `server.adapters`) and a `Channel`. What messages mean is
the protocol's; what the clocks say of a peer is found out here.

1. One task reads, one writes what may have to wait: what has room is sent where it comes up, which
   spares most messages a turn of a task.
2. The socket is not read while too much audio is unanswered, and while audio came faster than a client may
   send it: then the peer's own buffers fill, and nothing is dropped. What counts is the audio that the engine
   has not consumed, whether or not there was anything to say about it. What has been read already is
   still taken, so that no ping in it waits.
3. A peer that sends nothing for too long is idle, unless it is the session that does not read. One
   that does not take what is sent stalls. A stream may last only so long.
4. The slot is free when `close` returns, whatever happened before.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import Protocol, TypeAlias

from server.adapters.wyoming import Open, Wyoming, WyomingEvent
from server.engine.channels import Channel, Channels
from server.limits import Limits
from server.protocol.states import (
    NO_KEYWORDS,
    Audio,
    Close,
    EndAfter,
    Event,
    Favour,
    Finish,
    Release,
    Restart,
    State,
)
from stream.engine.engine import Result
from stream.front_end.log_mel import SAMPLE_RATE

__all__ = ["LiveProtocol", "Message", "Session", "Wire"]

Message: TypeAlias = str | bytes
UNBLOCKED_BYTES = 32_768  # less than this in a socket's buffer never blocks a writer


class Wire(Protocol):
    """A connection that carries messages."""

    async def receive(self) -> Message | None:
        """Return the next message; None when the connection is closed or about to be."""

    def pause(self) -> None:
        """Read nothing more from the peer; a message that is taken meanwhile may undo that."""

    def resume(self) -> None:
        """Read again."""

    def post(self, message: Message) -> None:
        """Send a message without waiting for room; for small ones, while little waits."""

    async def send(self, message: Message) -> None:
        """Send a message; raises OSError where the peer is gone."""

    async def close(self, close: Close) -> None:
        """Close the connection, with a word about it where the protocol has one."""

    @property
    def close_code(self) -> int | None:
        """The code with which the peer, or the wire itself, has closed the connection."""

    def waiting(self) -> int:
        """Return how many bytes wait to be sent."""

    def gone(self) -> bool:
        """Return whether the connection is lost."""


class LiveProtocol(Protocol):
    """A protocol without I/O: after any call, run `events()` and send `messages_to_send()`."""

    @property
    def state(self) -> State: ...
    @property
    def unanswered(self) -> int: ...
    def receive_idle(self, seconds: float) -> None: ...
    def receive_stall(self, seconds: float) -> None: ...
    def receive_shutdown(self, reason: str) -> None: ...
    def receive_gone(self) -> None: ...
    def send_result(self, result: Result) -> None: ...
    def send_fault(self, reason: str) -> None: ...
    def events(self) -> list[Event] | list[WyomingEvent]: ...
    def messages_to_send(self) -> list[str | Close] | list[bytes | Close]: ...


class Session:
    """One connection.

    Args:
        wire: the connection.
        protocol: what is spoken on it.
        hear: takes a message for the protocol; whether it is more than a sign of life.
        channels: where it is recognised.
        limits: what the peer may ask for.

    Attributes:
        seconds: of audio that went to the engine.
        farewell: the Close that was sent, if one was.
        task: that runs it.
    """

    def __init__(
        self,
        wire: Wire,
        protocol: LiveProtocol,
        hear: Callable[[Message], bool],
        channels: Channels,
        limits: Limits,
    ) -> None:
        self._wire = wire
        self._protocol = protocol
        self._hear = hear
        self._channels = channels
        self._limits = limits
        self._channel: Channel | None = None
        self._outgoing = asyncio.Event()  # the writer has something to look at
        self._at_rest = False  # the writer waits for that
        self._left: list[str | Close] | list[bytes | Close] = []  # that the writer has to send
        self._closed = asyncio.Event()  # the peer has closed
        self._reading = True
        self._resumption: asyncio.TimerHandle | None = None  # when the pace allows more audio
        self._loop = asyncio.get_running_loop()
        self._began = self._heard = self._loop.time()
        self.seconds = 0.0
        self.farewell: Close | None = None
        self.task = asyncio.current_task()

    @property
    def close_code(self) -> int | None:
        """The code with which the connection was closed by others than this session."""
        return self._wire.close_code

    @property
    def recognises(self) -> bool:
        """Whether it has a slot."""
        return self._channel is not None

    def take_slot(self, keywords: Mapping[str, float] = NO_KEYWORDS) -> bool:
        """Take a slot, which `close` gives back at last; return whether there was one."""
        self._channel = self._channels.open(self._on_result, self._on_fault, keywords=keywords)
        return self._channel is not None

    async def run(self) -> None:
        """Serve the peer until the connection is closed."""
        self._idle_clock = self._loop.call_later(self._limits.idle_seconds, self._look_for_idleness)
        lifetime = self._loop.call_later(
            self._limits.stream_seconds,
            self.end_stream,
            f"the stream has lasted {self._limits.stream_seconds:g} s; open a new one",
        )
        try:
            async with asyncio.TaskGroup() as group:
                reader = group.create_task(self._read())
                close = await self._write()
                if close is not None and close.by_peer:
                    await self._wait_for_close()
                reader.cancel()  # who closes reads the answer to it
            if close is not None and not self._closed.is_set():
                self.farewell = close
                await self._wire.close(close)
        finally:
            lifetime.cancel()
            self._idle_clock.cancel()
            if self._resumption is not None:
                self._resumption.cancel()

    async def break_off(self) -> None:
        """Close the connection because the server failed it."""
        self.farewell = Close(1011, "the server failed")
        await self._wire.close(self.farewell)

    def close(self) -> None:
        """Free the slot, if that has not happened."""
        self._protocol.receive_gone()
        self._follow()

    def end_stream(self, reason: str) -> None:
        """End the stream for its client, who gets the rest of the text."""
        self._protocol.receive_shutdown(reason)
        self._follow()

    async def _read(self) -> None:
        while (message := await self._wire.receive()) is not None:
            if self._hear(message):
                self._heard = self._loop.time()
            self._follow()
            self._regulate()
        self._closed.set()
        self._protocol.receive_gone()
        self._follow()

    def _regulate(self) -> None:
        """Read the socket if more audio may come, or else leave it alone until it may (rule 2)."""
        protocol, limits, now = self._protocol, self._limits, self._loop.time()
        if self._resumption is not None:
            self._resumption.cancel()
            self._resumption = None
        full = protocol.unanswered >= limits.unanswered_bytes
        wait = limits.wait_seconds(self.seconds, now - self._began)
        if protocol.state is State.OPEN and (full or wait > 0):
            self._reading = False
            self._wire.pause()
            if not full:
                self._resumption = self._loop.call_later(wait, self._regulate)
        elif not self._reading:
            self._reading = True
            self._heard = now
            self._wire.resume()

    def _look_for_idleness(self) -> None:
        limit = self._limits.idle_seconds
        quiet = self._loop.time() - self._heard if self._reading else 0.0
        if quiet >= limit:
            self._protocol.receive_idle(limit)
            self._follow()
            quiet = 0.0
        self._idle_clock = self._loop.call_later(limit - quiet, self._look_for_idleness)

    async def _write(self) -> Close | None:
        """Send messages until one is a Close, and return that; None if the peer is gone."""
        protocol = self._protocol
        while True:
            messages = [*self._left, *protocol.messages_to_send()]
            self._left = []
            if not messages:
                if protocol.state is State.CLOSED:
                    return None
                self._outgoing.clear()
                self._at_rest = True
                await self._outgoing.wait()
                self._at_rest = False
            for message in messages:
                if isinstance(message, Close):
                    return message
                try:
                    await self._send(message)
                except TimeoutError:
                    protocol.receive_stall(self._limits.stall_seconds)
                    self._follow()
                    break
                except OSError:  # the peer is gone; the reader sees it too, and tells the protocol
                    return None
            if not self._reading:
                self._regulate()

    async def _send(self, message: Message) -> None:
        if self._wire.waiting() + len(message) < UNBLOCKED_BYTES:
            await self._wire.send(message)
        else:
            async with asyncio.timeout(self._limits.stall_seconds):
                await self._wire.send(message)

    async def _wait_for_close(self) -> None:
        """Give the peer the time to close by itself."""
        try:
            async with asyncio.timeout(self._limits.close_seconds):
                await self._closed.wait()
        except TimeoutError:
            pass

    def _on_result(self, result: Result) -> None:
        self._protocol.send_result(result)
        self._follow()

    def _on_fault(self, reason: str) -> None:
        self._protocol.send_fault(reason)
        self._follow()

    def _follow(self) -> None:
        """Do what the protocol asks for, and let the two tasks look at it again."""
        for event in self._protocol.events():
            if isinstance(event, Audio):
                if self._channel is not None:
                    self.seconds += len(event.samples) / SAMPLE_RATE
                    self._channel.push(event.samples)
            elif isinstance(event, Open):
                assert isinstance(self._protocol, Wyoming)  # nobody else asks
                if not self.take_slot(event.keywords):
                    self._protocol.receive_refusal(str(self._channels.refusal()))
                    break
            elif self._channel is None:
                pass  # it failed, or there was none: what was on its way is not heard
            elif isinstance(event, Finish):
                self._channel.finish()
            elif isinstance(event, Favour):
                self._channel.favour(event.keywords)
            elif isinstance(event, EndAfter):
                self._channel.end_after(event.silence)
            elif isinstance(event, Restart):
                self._channel.restart()
            elif isinstance(event, Release):
                self._channel.close()
                self._channel = None
        self._post()
        if not self._reading:
            self._regulate()

    def _post(self) -> None:
        """Send what there is room for; wake the writer where there is more, or the end."""
        if self._at_rest and not self._left:
            wire, messages = self._wire, self._protocol.messages_to_send()
            for place, message in enumerate(messages):
                if (
                    isinstance(message, Close)
                    or wire.gone()
                    or wire.waiting() + len(message) >= UNBLOCKED_BYTES
                ):
                    self._left = messages[place:]
                    break
                wire.post(message)
            if not self._left and self._protocol.state is not State.CLOSED:
                return
        self._outgoing.set()
