"""Live connections: one client, its protocol and its channel, whatever the transport.

A `Connection` moves messages between a transport (`server.live.transport`) and a protocol without I/O
(`server.protocol.stream`, `server.adapters.wyoming`). What messages mean is up to the
protocol; timeouts are decided here.

1. Messages are handed in and results sent as they come, without a task in between. One task reads
   until the connection is closed; another one sends what there is no room for at once.
2. The socket is not read while too much audio is unanswered, and while audio came faster than a
   client may send it: then the peer's own buffers fill, and nothing is dropped. What counts is the
   audio that the engine has not consumed. What was read already is still taken, so that a ping in it
   does not wait.
3. A peer that sends nothing for too long is idle, unless we have stopped reading from it. A peer that
   does not read what we send is stalled. A stream may last only so long.
4. The slot is free when `free_slot` returns, whatever happened before.
"""

from __future__ import annotations

import asyncio
from collections import deque
from typing import TypeAlias

from server.adapters.wyoming import Wyoming
from server.limits import Limits
from server.live.transport import Message, Tcp, Websocket
from server.protocol.states import Close, State
from server.protocol.stream import StreamProtocol
from stream.engine.engine import Result

LiveProtocol: TypeAlias = StreamProtocol | Wyoming


class Connection:
    """One client's connection; the peer of its protocol, and the owner of its channel.

    Args:
        transport: that carries the messages.
        limits: what the client may ask for.

    Attributes:
        protocol: spoken on it; to be set before anything else is called.
        sent_close: the Close that was sent, if one was.
        task: that runs it.
    """

    protocol: LiveProtocol

    def __init__(self, transport: Websocket | Tcp, limits: Limits) -> None:
        self._transport = transport
        self._limits = limits
        self._queue: deque[Message | Close] = deque()  # for the writer
        self._queued = 0  # size of the messages in it
        self._wake = asyncio.Event()  # there is something for the writer
        self._at_rest = False  # the writer waits for that
        self._failure: Exception | None = None
        self._peer_closed = asyncio.Event()
        self._reading = True
        self._resumption: asyncio.TimerHandle | None = None  # when the pace allows more audio
        self._loop = asyncio.get_running_loop()
        self._began = self._heard = self._loop.time()
        self.sent_close: Close | None = None
        self.task = asyncio.current_task()

    @property
    def close_code(self) -> int | None:
        """The code with which the connection was closed by others than this one."""
        return self._transport.close_code

    # For whoever opened it.

    async def run(self) -> None:
        """Serve the client until the connection is closed."""
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
                reader.cancel()  # the transport's `close` reads the answer to the Close
            if close is not None and not self._peer_closed.is_set():
                self.sent_close = close
                await self._transport.close(close)
        finally:
            lifetime.cancel()
            self._idle_clock.cancel()
            if self._resumption is not None:
                self._resumption.cancel()

    async def break_off(self) -> None:
        """Close the connection because the server failed it."""
        self.sent_close = Close(1011, "the server failed")
        await self._transport.close(self.sent_close)

    def free_slot(self) -> None:
        """Free the slot, if that has not happened."""
        self.protocol.receive_gone()

    def end_stream(self, reason: str, code: int = 1001) -> None:
        """End the stream for its client, who gets the rest of the text and a Close of this code."""
        self.protocol.receive_shutdown(reason, code)

    # For the protocol.

    def send(self, message: Message) -> None:
        """Send a message, at once if there is room."""
        if not self._at_rest or self._queue or not self._transport.try_send(message):
            self._queued += len(message)
            self._queue.append(message)
            self._wake.set()

    def close(self, close: Close) -> None:
        """Close the connection after the messages so far."""
        self._queue.append(close)
        self._wake.set()

    # For the channel.

    def receive_result(self, result: Result) -> None:
        """Take the next result."""
        try:
            if self._failure is None:
                self.protocol.receive_result(result)
        except Exception as error:
            self._fail(error)
        if not self._reading:
            self._regulate()

    def receive_fault(self, reason: str) -> None:
        """Take note that the engine failed the channel."""
        self.protocol.receive_fault(reason)

    def _receive(self, message: Message) -> None:
        try:
            if self._failure is None and self.protocol.receive(message):
                self._heard = self._loop.time()
        except Exception as error:
            self._fail(error)
        self._regulate()

    def _fail(self, error: Exception) -> None:
        """Let `run` raise what the protocol's code raised: it ends this connection only."""
        self._failure = error
        self._wake.set()

    async def _read(self) -> None:
        await self._transport.read(self._receive)
        self._peer_closed.set()
        if self.protocol.state is not State.CLOSED:
            self._queue.clear()
        self.protocol.receive_hangup()
        self._wake.set()

    def _regulate(self) -> None:
        """Read the socket if more audio may come, or else leave it alone until it may (rule 2)."""
        protocol, limits, now = self.protocol, self._limits, self._loop.time()
        if self._resumption is not None:
            self._resumption.cancel()
            self._resumption = None
        full = protocol.unanswered + self._queued >= limits.unanswered_bytes
        wait = limits.wait_seconds(protocol.audio_seconds, now - self._began)
        if (full or wait > 0) and protocol.state is State.OPEN and self._failure is None:
            self._reading = False
            self._transport.pause()
            if not full:
                self._resumption = self._loop.call_later(wait, self._regulate)
        elif not self._reading:
            self._reading = True
            self._heard = now
            self._transport.resume()

    def _look_for_idleness(self) -> None:
        limit = self._limits.idle_seconds
        quiet = self._loop.time() - self._heard if self._reading else 0.0
        if quiet >= limit:
            self.protocol.receive_idle(limit)
            quiet = 0.0
        self._idle_clock = self._loop.call_later(limit - quiet, self._look_for_idleness)

    async def _write(self) -> Close | None:
        """Send the queue until a Close comes, and return that; None if the peer is gone."""
        while True:
            if self._failure is not None:
                raise self._failure
            if not self._queue:
                if self.protocol.state is State.CLOSED:
                    return None
                self._wake.clear()
                self._at_rest = True
                await self._wake.wait()
                self._at_rest = False
                continue
            message = self._queue.popleft()
            if isinstance(message, Close):
                return message
            self._queued -= len(message)
            try:
                async with asyncio.timeout(self._limits.stall_seconds):
                    await self._transport.send(message)
            except TimeoutError:
                self._queue.clear()  # it would wait behind what the peer does not read
                self._queued = 0
                self.protocol.receive_stall(self._limits.stall_seconds)
            except OSError:  # the peer is gone; the reader sees it too, and tells the protocol
                return None
            if not self._reading:
                self._regulate()

    async def _wait_for_close(self) -> None:
        """Give the peer the time to close by itself."""
        try:
            async with asyncio.timeout(self._limits.close_seconds):
                await self._peer_closed.wait()
        except TimeoutError:
            pass
