"""A server that does what a script says, speaking Myrtle's API as far as a load client needs it."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from http import HTTPStatus

from websockets.asyncio.server import ServerConnection, serve
from websockets.http11 import Request, Response

from server.load.dialects import MYRTLE
from tests.server.scripted import pcm, samples_of

__all__ = ["ScriptedServer", "messages", "serving"]


def messages(seconds: float) -> tuple[bytes, ...]:
    """Return the messages of a recording of noise."""
    return tuple(MYRTLE.messages(samples_of(pcm(seconds))))


class ScriptedServer:
    """What a server does, and what it did.

    Args:
        words: from the number of a stream, from 0, to its words; chunk k says the k-th, the closing
            response those that are left.
        delay: from the number of a chunk, from 0, to the seconds until it is answered; None: never.
        room: for streams at a time; more are refused with 503.
    Attributes:
        held: seconds between receiving and answering each answered chunk, in the order of answers.
        streams: so many were taken.
    """

    def __init__(
        self,
        words: Callable[[int], Sequence[str]] = lambda stream: (),
        delay: Callable[[int], float | None] = lambda chunk: 0.0,
        room: int = 1000,
    ) -> None:
        self.held: list[float] = []
        self.streams = 0
        self.url = ""
        self._words, self._delay, self._room = words, delay, room
        self._open: set[ServerConnection] = set()

    def vanish(self) -> None:
        """Cut all connections and take no more."""
        for connection in self._open:
            connection.transport.abort()
        self._stop()

    async def talk(self, connection: ServerConnection) -> None:
        """Serve one stream."""
        self._open.add(connection)
        words = list(self._words(self.streams))
        self.streams += 1
        chunk = 0
        try:
            async for message in connection:
                received = time.perf_counter()
                if not message:
                    rest = "".join(f" {word}" for word in words)
                    await connection.send(_response(chunk, rest))
                    return
                delay = self._delay(chunk)
                chunk += 1
                if delay is not None:
                    await asyncio.sleep(delay)
                    text = f" {words.pop(0)}" if words else ""
                    held = time.perf_counter() - received
                    await connection.send(_response(chunk, text))
                    self.held.append(held)
        finally:
            self._open.discard(connection)

    def admit(self, connection: ServerConnection, request: Request) -> Response | None:
        """Refuse a stream where there is no room."""
        if len(self._open) < self._room:
            return None
        return connection.respond(HTTPStatus.SERVICE_UNAVAILABLE, f"all {self._room} are taken")

    @asynccontextmanager
    async def listening(self) -> AsyncIterator[None]:
        """Serve on a free port, `url`."""
        async with serve(
            self.talk, "127.0.0.1", 0, process_request=self.admit, compression=None
        ) as server:
            self._stop = lambda: server.close(close_connections=False)
            self.url = f"ws://127.0.0.1:{server.sockets[0].getsockname()[1]}"
            yield


@asynccontextmanager
async def serving(server: ScriptedServer) -> AsyncIterator[ScriptedServer]:
    """Run a scripted server on the test's event loop."""
    async with server.listening():
        yield server


def _response(chunks: int, text: str) -> str:
    fields = {"start": 0.0, "end": round(0.06 * chunks, 2), "is_provisional": False}
    return json.dumps({**fields, "alternatives": [{"transcript": text, "confidence": 1.0}]})
