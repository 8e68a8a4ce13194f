"""Wires: websockets of aiohttp and TCP connections of asyncio, as a `server.live.connection.Session` wants them.

Neither knows what messages mean. A close that the peer does not answer, or whose bytes it does not
take, ends in time by cutting the connection.
"""

from __future__ import annotations

import asyncio
import struct
from typing import cast

from aiohttp import WSCloseCode, WSMsgType, web
from aiohttp.http import WebSocketError

from server.live.connection import Message
from server.live.sockets import prepare_live
from server.protocol.states import Close

__all__ = ["Tcp", "Websocket"]

READ_BYTES = 65_536
TEXT, BINARY = 0x81, 0x82  # first byte of an unfragmented message


class Websocket:
    """A websocket of the server, after the upgrade.

    Args:
        socket: prepared.
        protocol: of the connection under it.
        transport: of the same.
        close_seconds: to wait for the peer's Close.
    """

    def __init__(
        self,
        socket: web.WebSocketResponse,
        protocol: web.RequestHandler,
        transport: asyncio.Transport,
        close_seconds: float,
    ) -> None:
        prepare_live(transport)
        self._socket = socket
        self._protocol = protocol
        self._transport = transport
        self._close_seconds = close_seconds
        self._refused: int | None = None  # with this code, for frames that are none

    async def receive(self) -> Message | None:
        """Return the next message; None when the connection is closed or about to be."""
        message = await self._socket.receive()
        if message.type is WSMsgType.BINARY or message.type is WSMsgType.TEXT:
            data: Message = message.data
            return data
        if isinstance(message.data, WebSocketError):  # aiohttp has closed with its code
            self._refused = message.data.code
        return None

    def pause(self) -> None:
        """Read nothing more from the socket; aiohttp reads on when its queue is emptied."""
        self._protocol.pause_reading()

    def resume(self) -> None:
        """Read again."""
        self._protocol.resume_reading()

    def post(self, message: Message) -> None:
        """Send a text message without waiting for room.

        A server's frame of an unfragmented message, RFC 6455 section 5.2. aiohttp's own way is a
        coroutine, which takes as long again.
        """
        payload = message.encode() if isinstance(message, str) else message
        kind, size = (TEXT if isinstance(message, str) else BINARY), len(payload)
        head = bytes((kind, size)) if size < 126 else struct.pack("!BBH", kind, 126, size)
        self._transport.write(head + payload)

    async def send(self, message: Message) -> None:
        """Send a text message."""
        if isinstance(message, str):
            await self._socket.send_str(message)
        else:
            await self._socket.send_bytes(message)

    async def close(self, close: Close) -> None:
        """Send a Close and wait for the peer's, or cut the connection."""
        try:
            async with asyncio.timeout(2 * self._close_seconds):  # its own limit is once that
                # Not drained: after a send that was given up, aiohttp's drain is cancelled for good.
                await self._socket.close(
                    code=close.code, message=close.reason.encode(), drain=False
                )
        except TimeoutError:
            self._transport.abort()
        if self._socket.close_code == WSCloseCode.ABNORMAL_CLOSURE:
            self._transport.abort()

    @property
    def close_code(self) -> int | None:
        """The code with which it was closed."""
        code = self._refused or self._socket.close_code
        return None if code is None else int(code)

    def waiting(self) -> int:
        """Return how many bytes wait to be sent."""
        return self._transport.get_write_buffer_size()

    def gone(self) -> bool:
        """Return whether the connection is lost."""
        return self._transport.is_closing()


class Tcp:
    """A TCP connection whose messages are bytes as they come.

    Args:
        reader, writer: of the connection.
        close_seconds: to wait until what was sent has left.

    Attributes:
        peer: address of the other side.
    """

    def __init__(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, close_seconds: float
    ) -> None:
        self._transport = cast(asyncio.Transport, writer.transport)
        prepare_live(self._transport)
        self._reader = reader
        self._writer = writer
        self.peer = str((writer.get_extra_info("peername") or ("",))[0])
        self._close_seconds = close_seconds

    async def receive(self) -> Message | None:
        """Return the next bytes; None when the connection is closed."""
        try:
            return await self._reader.read(READ_BYTES) or None
        except OSError:
            return None

    def pause(self) -> None:
        """Read nothing more from the socket; asyncio reads on when its buffer is emptied."""
        if not self.gone():
            self._transport.pause_reading()

    def resume(self) -> None:
        """Read again."""
        if not self.gone():
            self._transport.resume_reading()

    def post(self, message: Message) -> None:
        """Send bytes without waiting for room."""
        self._writer.write(message.encode() if isinstance(message, str) else message)

    async def send(self, message: Message) -> None:
        """Send bytes."""
        self._writer.write(message.encode() if isinstance(message, str) else message)
        await self._writer.drain()

    async def close(self, close: Close) -> None:
        """Close the connection when everything has left, or cut it."""
        self._writer.close()
        try:
            async with asyncio.timeout(self._close_seconds):
                await self._writer.wait_closed()
        except OSError:
            self._transport.abort()

    @property
    def close_code(self) -> int | None:
        """None: a TCP connection is closed without a code."""
        return None

    def waiting(self) -> int:
        """Return how many bytes wait to be sent."""
        return self._transport.get_write_buffer_size()

    def gone(self) -> bool:
        """Return whether the connection is lost."""
        return self._transport.is_closing()
