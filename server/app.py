"""The adapter: one TCP port for websocket streams and health, by `websockets` on asyncio.

It moves messages between a socket, a `ChannelProtocol` and a `Channel`; what they mean is decided
in `server.protocol`. Requests are checked, and a slot is taken, before the upgrade, so that a
client who cannot be served gets an HTTP status instead of a connection. GET /healthz answers 200
while the process lives; GET /readyz answers 200 while a new stream would be taken, else 503 and why
not.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

from websockets.asyncio.server import Server, ServerConnection, serve
from websockets.exceptions import ConnectionClosed
from websockets.http11 import Request, Response
from websockets.typing import Subprotocol

from server.channels import Channel, Channels
from server.limits import Limits
from server.protocol import Audio, ChannelProtocol, Close, Finish, State
from server.request import SUBPROTOCOL, Parameters, Refusal, Served, parse_request
from stream.engine import Result

__all__ = ["AddressError", "Application"]

logger = logging.getLogger(__name__)


class AddressError(OSError):
    """The address to listen on cannot be had."""


class Application:
    """All connections of one port.

    Args:
        channels: where streams are recognised.
        limits: what a client may ask of this process.
        served: what may be asked for by name.
    """

    def __init__(self, channels: Channels, limits: Limits, served: Served | None = None) -> None:
        self._channels = channels
        self._limits = limits
        self._served = served
        self._sessions: dict[ServerConnection, _Session] = {}

    @asynccontextmanager
    async def listening(self, host: str, port: int) -> AsyncIterator[Server]:
        """Accept connections at `host:port`; on leaving, stop accepting and finish the streams.

        Streams have `Limits.drain_seconds` to end by themselves, then they are ended. To cut this
        short, cancel the task that is leaving.

        Raises:
            AddressError: the port is taken, or the host is none of this machine's.
        """
        limits = self._limits
        try:
            server = await serve(
                self._converse,
                host,
                port,
                process_request=self._answer_request,
                select_subprotocol=_select_subprotocol,
                compression=None,  # messages of a hundred bytes
                ping_interval=None,  # idle and stalled peers are found by what they do not do
                open_timeout=limits.handshake_seconds,
                close_timeout=limits.close_seconds,
                max_size=limits.message_bytes,
                max_queue=limits.queued_messages,
                server_header=None,
            )
        except OSError as error:
            raise AddressError(
                f"cannot listen on {host}:{port}: {error.strerror or error}. Is another server "
                "running there? Choose another with --host and --port."
            ) from error
        try:
            yield server
        finally:
            server.close(close_connections=False)
            try:
                async with asyncio.timeout(limits.drain_seconds):
                    await server.wait_closed()
            except TimeoutError:
                logger.warning("ending %d streams for their clients", len(self._sessions))
                for session in tuple(self._sessions.values()):
                    session.shut_down()
                await server.wait_closed()

    def _answer_request(self, connection: ServerConnection, request: Request) -> Response | None:
        """Answer a request that is not to be upgraded; None lets it be."""
        path = request.path.partition("?")[0]
        if path == "/healthz":
            return connection.respond(200, "ok\n")
        if path == "/readyz":
            refusal = self._channels.refusal()
            return connection.respond(*((503, f"{refusal}\n") if refusal else (200, "ready\n")))
        parameters = parse_request(request.path, self._served)
        if isinstance(parameters, Refusal):
            return connection.respond(parameters.status, f"{parameters.text}\n")
        session = _Session(connection, parameters, self._limits)
        if not session.take_slot(self._channels):
            return connection.respond(503, f"{self._channels.refusal()}\n")
        # The slot lives as long as the task that serves this connection, whatever ends it: also a
        # handshake that turns out to be wrong, or a peer that vanishes in the middle of it.
        self._sessions[connection] = session
        task = asyncio.current_task()
        assert task is not None
        task.add_done_callback(lambda _: self._end(connection))
        return None

    def _end(self, connection: ServerConnection) -> None:
        self._sessions.pop(connection).end()

    async def _converse(self, connection: ServerConnection) -> None:
        session = self._sessions[connection]
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(session.read())
                group.create_task(session.write())
        except Exception:
            logger.exception("the adapter failed a connection, which is closed with 1011")
            raise


class _Session:
    """One connection: its socket, its protocol and its channel."""

    def __init__(
        self, connection: ServerConnection, parameters: Parameters, limits: Limits
    ) -> None:
        self._connection = connection
        self._limits = limits
        self._protocol = ChannelProtocol(parameters)
        self._channel: Channel
        self._outgoing = asyncio.Event()  # the writer has something to look at
        self._room = asyncio.Event()  # the reader has

    def take_slot(self, channels: Channels) -> bool:
        channel = channels.open(self._on_result, self._on_fault)
        if channel is not None:
            self._channel = channel
        return channel is not None

    async def read(self) -> None:
        """Take messages until the connection is closed, no faster than they are answered."""
        protocol, limits = self._protocol, self._limits
        while True:
            try:
                idle = limits.idle_seconds if protocol.state is State.OPEN else None
                async with asyncio.timeout(idle):
                    message = await self._connection.recv()
            except TimeoutError:
                protocol.receive_idle(limits.idle_seconds)
            except ConnectionClosed:
                protocol.receive_gone()
                self._follow()
                return
            else:
                if isinstance(message, str):
                    protocol.receive_text(message)
                else:
                    protocol.receive_audio(message)
            self._follow()
            while protocol.unanswered >= limits.unanswered_bytes and protocol.state is State.OPEN:
                self._room.clear()
                await self._room.wait()

    async def write(self) -> None:
        """Send messages until one is a Close, or the connection is closed."""
        protocol, limits = self._protocol, self._limits
        while True:
            messages = protocol.messages_to_send()
            if not messages:
                if protocol.state is State.CLOSED:
                    return
                self._outgoing.clear()
                await self._outgoing.wait()
            for message in messages:
                if isinstance(message, Close):
                    await self._close(message)
                    return
                try:
                    async with asyncio.timeout(limits.stall_seconds):
                        await self._connection.send(message)
                except TimeoutError:
                    protocol.receive_stall(limits.stall_seconds)
                    self._follow()
                    break
                except ConnectionClosed:  # the reader sees it too, and tells the protocol
                    return
            self._room.set()

    async def _close(self, close: Close) -> None:
        """Send a Close and wait for the peer's, or cut the connection."""
        try:
            async with asyncio.timeout(self._limits.close_seconds):
                await self._connection.close(close.code, close.reason)
        except TimeoutError:  # it may even wait for the room to send its Close
            self._connection.transport.abort()

    def shut_down(self) -> None:
        """End the stream for its client, who gets the rest of the text."""
        self._protocol.receive_shutdown()
        self._follow()

    def end(self) -> None:
        """Free the slot, if that has not happened."""
        self._protocol.receive_gone()
        self._follow()

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
                self._channel.push(event.samples)
            elif isinstance(event, Finish):
                self._channel.finish()
            else:
                self._channel.close()
                self._room.set()
        self._outgoing.set()


def _select_subprotocol(
    connection: ServerConnection, offered: Sequence[Subprotocol]
) -> Subprotocol | None:
    """Echo Myrtle's subprotocol where it is offered; it is never required."""
    return Subprotocol(SUBPROTOCOL) if SUBPROTOCOL in offered else None
