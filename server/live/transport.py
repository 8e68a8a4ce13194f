"""Transports: websockets of aiohttp and TCP connections of asyncio, for `server.live.connection`.

Neither knows what messages mean. A close that the peer does not answer, or whose bytes it does not
take, ends in time by cutting the connection.
"""

from __future__ import annotations

import asyncio
import struct
from collections.abc import Callable
from typing import Any, TypeAlias, cast

from aiohttp import WSCloseCode, WSMsgType, web
from aiohttp._websocket.reader import WebSocketDataQueue
from aiohttp.http import WebSocketError, WebSocketReader

from server.live.sockets import prepare_live
from server.protocol.states import Close

Message: TypeAlias = str | bytes

READ_BYTES = 65_536
UNBLOCKED_BYTES = 32_768  # less than this in a socket's buffer never blocks a writer
TEXT, BINARY = 0x81, 0x82  # first byte of an unfragmented message


class _Queue(WebSocketDataQueue):
    """The queue that aiohttp's reader fills: messages are handed on at once, all else waits here.

    So no task has to be woken for each message. aiohttp has no public place for this, so
    pyproject.toml holds it at the versions that were tested.
    """

    receive: Callable[[Message], None] | None = None

    def feed_data(self, data: Any, size: int) -> None:
        """Take a message, or a control frame."""
        kind = data.type
        if (
            self.receive is None
            or self._buffer
            or not (kind is WSMsgType.BINARY or kind is WSMsgType.TEXT)
        ):
            super().feed_data(data, size)
        else:
            self.receive(data.data)


class WebsocketResponse(web.WebSocketResponse):
    """aiohttp's, with messages that do not wait for a task.

    Attributes:
        queue: of messages, after `prepare`.
    """

    queue: _Queue

    def _post_start(self, request: web.BaseRequest, protocol: str | None, writer: Any) -> None:
        """Begin to read, as aiohttp does."""
        self._ws_protocol, self._writer = protocol, writer
        self.queue = _Queue(request.protocol, READ_BYTES, loop=asyncio.get_running_loop())
        self._reader = self.queue
        self._parser = WebSocketReader(
            self.queue, self._max_msg_size, compress=False, decode_text=True
        )
        request.protocol.set_parser(self._parser)
        request.protocol.keep_alive(False)


class Websocket:
    """A websocket of the server, after the upgrade.

    Args:
        socket: prepared before `read`.
        protocol: of the connection under it.
        transport: of the same.
        close_seconds: to wait for the peer's Close.
    """

    def __init__(
        self,
        socket: WebsocketResponse,
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

    async def read(self, receive: Callable[[Message], None]) -> None:
        """Hand in each message as it comes, until the connection is closed or about to be."""
        self._socket.queue.receive = receive
        while True:
            message = await self._socket.receive()
            if message.type is WSMsgType.BINARY or message.type is WSMsgType.TEXT:
                receive(message.data)  # it came with the handshake
                continue
            if isinstance(message.data, WebSocketError):  # aiohttp has closed with its code
                self._refused = message.data.code
            return

    def pause(self) -> None:
        """Stop reading from the socket; aiohttp reads on when a control frame was read."""
        self._protocol.pause_reading()

    def resume(self) -> None:
        """Read again."""
        self._protocol.resume_reading()

    def try_send(self, message: Message) -> bool:
        """Send a message if that does not have to wait for room; return whether it was sent.

        A server's frame of an unfragmented message, RFC 6455 section 5.2. aiohttp's own way is a
        coroutine, which takes as long again.
        """
        if isinstance(message, str):
            kind, payload = TEXT, message.encode()
        else:
            kind, payload = BINARY, message
        size = len(payload)
        transport = self._transport
        if transport.get_write_buffer_size() + size >= UNBLOCKED_BYTES or transport.is_closing():
            return False
        head = bytes((kind, size)) if size < 126 else struct.pack("!BBH", kind, 126, size)
        transport.write(head + payload)
        return True

    async def send(self, message: Message) -> None:
        """Send a message; raises OSError where the peer is gone."""
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

    async def read(self, receive: Callable[[Message], None]) -> None:
        """Hand in the bytes as they come, until the connection is closed."""
        try:
            while received := await self._reader.read(READ_BYTES):
                receive(received)
        except OSError:
            pass

    def pause(self) -> None:
        """Stop reading from the socket; asyncio reads on when its buffer is emptied."""
        if not self._transport.is_closing():
            self._transport.pause_reading()

    def resume(self) -> None:
        """Read again."""
        if not self._transport.is_closing():
            self._transport.resume_reading()

    def try_send(self, message: Message) -> bool:
        """Send bytes if that does not have to wait for room; return whether they were sent."""
        transport = self._transport
        waiting = transport.get_write_buffer_size() + len(message)
        if waiting >= UNBLOCKED_BYTES or transport.is_closing():
            return False
        self._writer.write(message.encode() if isinstance(message, str) else message)
        return True

    async def send(self, message: Message) -> None:
        """Send bytes; raises OSError where the peer is gone."""
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
