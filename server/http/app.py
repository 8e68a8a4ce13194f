"""The application: one TCP port for websockets and HTTP, by aiohttp on asyncio; a second for Wyoming.

`server.http.streams` serves websockets and Wyoming's connections, `server.http.answers` everything
else. The order of the checks, and what happens when the server stops, are defined here:

1. The `Host` of a request has to be a name of this server. Health is then open to all. Other requests
   need an allowed origin, then a token if there are any; but the page itself, which has no secrets,
   needs no token.
2. A websocket request is answered with 404 or 400 for its target, 405 or 426 for its handshake, 403 or
   429 for the limits of its token, 503 without a free slot, else 101.
3. On leaving, nothing is accepted any more. Streams and uploads may end by themselves for
   `Limits.drain_seconds`; then streams are ended for their clients, who get the rest of the text,
   and uploads are aborted.
"""

from __future__ import annotations

import asyncio
import logging
import ssl
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web

from server.adapters.wyoming_framing import encode
from server.engine.models import Models
from server.http.access import Access
from server.http.answers import STOPPING, Answers
from server.http.exchange import Exchange, begin
from server.http.handshake import wants_upgrade
from server.http.peers import Network, Peer, identify
from server.http.replies import plain, preflight, refuse
from server.http.server import HttpServer
from server.http.streams import Streams
from server.limits import Limits
from server.live.request import parse_query
from server.live.routes import ROUTES
from server.live.sockets import prepare_server
from server.live.transport import Tcp
from server.metrics import Metrics
from server.protocol.states import Close
from server.refusals import Refusal
from stream.errors import ArgumentError

logger = logging.getLogger(__name__)
# A peer that breaks HTTP is not an error of the server; exceptions of handlers are logged here.
_quiet = logging.getLogger("server.aiohttp")
_quiet.setLevel(logging.CRITICAL)
logging.getLogger("aiohttp.websocket").setLevel(logging.ERROR)  # subprotocols that are not ours
METRICS = "/metrics"
ABOUT_MODELS = ("/model", "/v1/models")
TICK_SECONDS = 1.0
ROOTS = ("page", "myrtle", "sherpa", "vosk")  # with "page", websockets are refused at "/"


class AddressError(ArgumentError):
    """The server cannot listen on an address."""


@dataclass(frozen=True)
class Settings:
    """How a server presents itself.

    Attributes:
        access: who may use it.
        root: the protocol of a websocket at "/", one of `ROOTS`.
        strict: whether responses of Myrtle's API have no additions.
        tls: None for unencrypted connections.
        proxies: networks of proxies whose headers about their clients are trusted.
    """

    access: Access = field(default_factory=Access)
    root: str = "page"
    strict: bool = False
    tls: ssl.SSLContext | None = None
    proxies: tuple[Network, ...] = ()


class Application:
    """All connections of a server.

    Args:
        limits: what a client may ask of this process.
        settings: how it presents itself.
    """

    def __init__(self, models: Models, limits: Limits, settings: Settings | None = None) -> None:
        self._models = models
        self._limits = limits
        self._settings = settings or Settings()
        self._keyring = self._settings.access.keyring
        self._metrics = Metrics(models, self._keyring)
        self._answers = Answers(models, limits, self._metrics, self._settings.access)
        self._streams = Streams(models, limits, self._answers, self._metrics, self._settings.strict)
        self._busy: set[asyncio.Task[Any]] = set()  # what the drain waits for
        self._protocols = {route.path: name for name, route in ROUTES.items()}
        if self._settings.root != "page":
            self._protocols["/"] = self._settings.root

    @asynccontextmanager
    async def listening(
        self, host: str, port: int, wyoming_port: int | None = None
    ) -> AsyncIterator[tuple[asyncio.Server, ...]]:
        """Accept connections; on leaving, stop accepting and finish the streams.

        To cut this short, cancel the task that is leaving.

        Args:
            host: address to listen on.
            port: of websockets and HTTP; 0 for any free one.
            wyoming_port: of Wyoming's protocol, for the first model; None for none.
        Yields:
            the servers, in this order.
        Raises:
            AddressError: a port is in use, or the host is not an address of this machine.
        """
        limits = self._limits
        http = HttpServer(
            self._answer,
            self._answer_bad,
            access_log=None,
            logger=_quiet,
            auto_decompress=False,  # a kilobyte must not become a gigabyte in memory
            keepalive_timeout=limits.handshake_seconds,
            lingering_time=limits.close_seconds,
        )
        tls: dict[str, Any] = {}
        if self._settings.tls is not None:
            tls = {"ssl": self._settings.tls, "ssl_handshake_timeout": limits.handshake_seconds}
        loop = asyncio.get_running_loop()
        servers: list[asyncio.Server] = []
        try:
            with _naming(host, port):
                servers.append(await loop.create_server(http, host, port, backlog=1024, **tls))
            if wyoming_port is not None:
                with _naming(host, wyoming_port):
                    servers.append(
                        await asyncio.start_server(self._serve_wyoming, host, wyoming_port)
                    )
            for server in servers:
                prepare_server(server)
            ticking = asyncio.create_task(self._tick())
            try:
                yield tuple(servers)
            finally:
                ticking.cancel()
        finally:
            self._answers.stopping = True
            for server in servers:
                server.close()
            await self._drain()
            http.pre_shutdown()  # only now: connections read nothing afterwards
            await http.shutdown(limits.close_seconds)

    async def _tick(self) -> None:
        """Count the audio of each token once a second."""
        while True:
            await asyncio.sleep(TICK_SECONDS)
            try:
                self._keyring.tick()
            except Exception:  # a fault in ending one stream does not lift the limits of the others
                logger.exception("counting the audio of the tokens failed")

    async def _drain(self) -> None:
        """Wait until nothing is served any more; after `drain_seconds` end the rest."""
        limits = self._limits
        for connection in tuple(self._streams.connections):
            if not connection.protocol.has_slot():
                connection.end_stream(STOPPING)
        if await self._becomes_idle(limits.drain_seconds):
            return
        logger.warning("ending %d streams for their clients", len(self._streams.connections))
        for connection in tuple(self._streams.connections):
            connection.end_stream(STOPPING)
        for task in self._busy - {each.task for each in self._streams.connections}:
            task.cancel()
        # Pending results and answers to a Close get the same time as at any other moment.
        if not await self._becomes_idle(limits.stall_seconds + 2 * limits.close_seconds):
            logger.warning("cutting %d streams", len(self._streams.connections))
            for task in self._busy:
                task.cancel()

    async def _becomes_idle(self, seconds: float) -> bool:
        """Return whether everything that is being served ends within some seconds."""
        return not self._busy or not (await asyncio.wait(tuple(self._busy), timeout=seconds))[1]

    async def _answer(self, request: web.BaseRequest) -> web.StreamResponse:
        """Answer a request; nothing that a peer does raises here."""
        exchange = self._begin(request)
        status: int | None = None  # that the client gets
        try:
            with self._being_busy():
                response = await self._route(request, exchange)
            status = response.status
        except Refusal as refusal:
            response = refuse(request, refusal)
            status = response.status
        except ConnectionError:
            exchange.fields["reason"] = "the connection was lost"
            response = plain(400, exchange.fields["reason"])
        except Exception:
            logger.exception("request %s failed", exchange.peer.request_id)
            response = refuse(request, Refusal(500, "the server failed", "engine"))
            status = response.status
        finally:
            self._end(exchange, status)
        if request.writer.output_size > 0 and not response.prepared:
            raise ConnectionResetError("an answer has begun, and cannot be another one now")
        return self._finish(request, exchange, response)

    def _answer_bad(
        self, request: web.BaseRequest, status: int, error: BaseException | None
    ) -> web.StreamResponse:
        """Answer what cannot be read as HTTP, and requests on which `_answer` raised."""
        peer = Peer.of_connection(str(request.remote))  # there are no headers to look at
        exchange = begin(request, peer, self._settings.access)
        exchange.method = exchange.path = None  # aiohttp's, not the client's
        refusal = Refusal(status, "the request cannot be read as HTTP", "http")
        if status >= 500:
            logger.error("request %s failed", exchange.peer.request_id, exc_info=error)
            refusal = Refusal(status, "the server failed", "engine")
        response = refuse(request, refusal)
        self._end(exchange, status)
        return self._finish(request, exchange, response)

    def _begin(self, request: web.BaseRequest) -> Exchange:
        settings = self._settings
        encrypted = settings.tls is not None
        peer = identify(str(request.remote), request.headers, encrypted, settings.proxies)
        return begin(request, peer, settings.access)

    def _end(self, exchange: Exchange, status: int | None) -> None:
        if exchange.refusal is not None:
            self._metrics.count_refusal(exchange.refusal.reason)
        exchange.log(status)

    def _finish(
        self, request: web.BaseRequest, exchange: Exchange, response: web.StreamResponse
    ) -> web.StreamResponse:
        if not response.prepared:
            response.headers.update(exchange.headers)
            # Close after a refused upgrade, or a body that was not read.
            if "Upgrade" in request.headers or not request.content.is_eof():
                response.force_close()
        return response

    async def _route(self, request: web.BaseRequest, exchange: Exchange) -> web.StreamResponse:
        access, headers = self._settings.access, request.headers
        path = request.raw_path.partition("?")[0]
        access.check_host(headers.getall("Host", []), request.version >= (1, 1))
        scheme = exchange.peer.scheme
        origin = headers.get("Origin")
        if origin is not None and access.allows_origin(origin, headers.get("Host", ""), scheme):
            exchange.headers["Access-Control-Allow-Origin"] = origin
        health = self._answers.health(path)
        if health is not None and request.method != "OPTIONS":
            return _read_only(request, health)
        fault = None  # of the query; who has no token learns nothing of it
        try:
            exchange.query = parse_query(request.raw_path)
        except Refusal as refused:
            fault = refused
        name = self._protocols.get(path)
        page = None if wants_upgrade(headers) else self._answers.page(path)
        public = page is not None or request.method == "OPTIONS"
        exchange.grant = access.check(headers, exchange.query, scheme, public)
        if request.method == "OPTIONS":
            return preflight()
        if page is not None:
            return _read_only(request, page)
        if fault is not None:
            raise fault
        if exchange.grant.secret and not (wants_upgrade(headers) or path in ABOUT_MODELS):
            text = "a client secret opens live streams; for all else, send the token"
            raise Refusal(403, text, "permission")
        if path == METRICS and not exchange.grant.account.token.metrics:
            text = (
                "this token may not read the metrics; the token file allows it by `metrics = true`"
            )
            raise Refusal(403, text, "permission")
        if name is not None and (wants_upgrade(headers) or not self._answers.has(path)):
            return await self._streams.serve_websocket(request, name)
        return await self._answers.answer(request, path)

    @contextmanager
    def _being_busy(self) -> Iterator[None]:
        """Let `_drain` wait for the current task."""
        task = asyncio.current_task()
        assert task is not None
        self._busy.add(task)
        try:
            yield
        finally:
            self._busy.discard(task)

    async def _serve_wyoming(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        model = next(iter(self._models.values()))
        transport = Tcp(reader, writer, self._limits.close_seconds)
        exchange = Exchange(Peer.of_connection(transport.peer))
        with self._being_busy():
            try:
                refusal = self._answers.refusal(model)
                if refusal is None or refusal.reason == "full":
                    await self._streams.serve_wyoming(transport, model, exchange)
                else:  # not loaded, broken, or stopping
                    exchange.refusal = refusal
                    await transport.send(encode("error", {"text": refusal.text}))
            except OSError:  # the peer is gone
                pass
            except Exception:
                logger.exception("connection %s failed", exchange.peer.request_id)
            finally:
                self._end(exchange, None)
                await transport.close(Close(1000))


def _read_only(request: web.BaseRequest, response: web.StreamResponse) -> web.StreamResponse:
    """Return a response to GET and HEAD, and refuse other methods."""
    if request.method in ("GET", "HEAD"):
        return response
    text = f"{request.method[:20]} is not allowed for this path, which takes GET"
    raise Refusal(405, text, "method", {"Allow": "GET, HEAD"})


@contextmanager
def _naming(host: str, port: int) -> Iterator[None]:
    """Turn errors of listening into one that names the address."""
    try:
        yield
    except (OSError, OverflowError) as error:
        raise AddressError(
            f"cannot listen on {host}:{port}: {getattr(error, 'strerror', None) or error}. Is another "
            "server running there? Choose another with --host and --port."
        ) from error
