"""The HTTP server: aiohttp's, changed in two points.

1. A request that is not HTTP is answered and logged like all others, without a traceback.
2. Frames of a websocket have to be masked (`server.http.frames`).
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, TypeAlias

from aiohttp import web
from aiohttp.http import WebSocketReader

from server.http.frames import MaskedFrames

Handler: TypeAlias = Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]
BadHandler: TypeAlias = Callable[[web.BaseRequest, int, BaseException | None], web.StreamResponse]


class _Connection(web.RequestHandler):
    """One connection of a client."""

    def __init__(self, server: HttpServer, **settings: Any) -> None:
        super().__init__(server, **settings)
        self._answer_bad = server.answer_bad

    def set_parser(
        self,
        parser: WebSocketReader,
        data_received_cb: Callable[[], None] | None = None,
    ) -> None:
        """Read a websocket from now on; rule 2."""
        super().set_parser(MaskedFrames(parser), data_received_cb)  # type: ignore[arg-type]

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        """Answer a request that cannot be read, or whose handler raised; rule 1."""
        if request.writer.output_size > 0:
            raise ConnectionError("an answer has begun, and cannot be another one now")
        response = self._answer_bad(request, status, exc)
        response.force_close()
        return response


class HttpServer(web.Server):
    """Makes connections.

    Args:
        answer: answers a request.
        answer_bad: answers one that cannot be read, or whose handler raised, with this status.
        settings: of aiohttp's request handlers.
    """

    def __init__(self, answer: Handler, answer_bad: BadHandler, **settings: Any) -> None:
        super().__init__(answer)
        self.answer_bad = answer_bad
        self._settings = settings

    def __call__(self) -> web.RequestHandler:
        """Return the protocol of a new connection."""
        return _Connection(self, loop=asyncio.get_running_loop(), **self._settings)
