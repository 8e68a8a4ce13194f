"""Live streams: websockets and Wyoming's connections, from the request to its line in the log.

A request is checked in this order: what it asks for, the handshake, the limits of its token, a free slot.
All is decided before the upgrade, so that a client who cannot be served gets an HTTP status instead of a
connection.
`server.live.routes` picks the protocol; `server.live.connection` runs the connection.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from contextlib import closing
from datetime import UTC, datetime
from functools import partial
from urllib.parse import quote

from aiohttp import web

from server.adapters.realtime_settings import NO_SESSION, Mistake, asked_model, decode_session
from server.adapters.wyoming import Offer, Wyoming
from server.engine.channels import Channel
from server.engine.models import Model, Models
from server.http.access import SUBPROTOCOLS
from server.http.answers import Answers
from server.http.exchange import Exchange, exchange_of
from server.http.handshake import check_handshake
from server.limits import Limits
from server.live.connection import Connection
from server.live.request import Parameters, refuse_hotwords
from server.live.routes import ROUTES, Opening
from server.live.transport import Tcp, Websocket, WebsocketResponse
from server.metrics import Metrics
from server.protocol.hotwords import HotwordError, Speller
from server.protocol.stream import StreamProtocol
from server.refusals import Refusal
from server.tokens.account import Lease
from stream import __version__

logger = logging.getLogger(__name__)


class Streams:
    """The live streams of a server.

    Args:
        limits: what a client may ask of this process.
        answers: knows why a model takes no stream now.
        metrics: counts streams.
        strict: whether responses in Myrtle's API have nothing that Myrtle's own lack.

    Attributes:
        connections: that are open.
    """

    def __init__(
        self, models: Models, limits: Limits, answers: Answers, metrics: Metrics, strict: bool
    ) -> None:
        self.connections: set[Connection] = set()
        self._models = models
        self._limits = limits
        self._answers = answers
        self._metrics = metrics
        self._strict = strict

    async def serve_websocket(self, request: web.BaseRequest, name: str) -> web.StreamResponse:
        """Take a websocket of a protocol of `ROUTES`, or refuse it before the upgrade."""
        route = ROUTES[name]
        _, _, query = request.raw_path.partition("?")
        exchange = exchange_of(request)
        grant = exchange.grant
        if grant.secret and "model" not in exchange.query:
            try:
                asked = asked_model(decode_session(grant.secret.session))
            except Mistake as mistake:  # signed by a server of another version
                raise Refusal(
                    400, str(mistake), param=mistake.param, code=mistake.code
                ) from mistake
            query += f"&model={quote(asked)}" if asked else ""
        parameters = route.parse(f"{route.path}?{query}", self._models.served)
        model = self._models[parameters.model]
        check_handshake(request.method, request.version, request.headers)
        with grant.account.lease(name) as lease:
            lease.check_model(model.name)
            if (refusal := self._answers.refusal(model)) is not None:
                raise refusal
            return await self._serve_websocket(request, name, parameters, lease)

    async def _serve_websocket(
        self, request: web.BaseRequest, name: str, parameters: Parameters, lease: Lease
    ) -> web.StreamResponse:
        """Take a websocket that is granted."""
        route, exchange = ROUTES[name], exchange_of(request)
        model = self._models[parameters.model]
        limits = lease.narrowed(self._limits)
        speller = Speller(model.alphabet, limits)
        try:
            keywords = speller.spell(parameters.hotwords)
        except HotwordError as error:
            raise refuse_hotwords(error) from error
        socket = WebsocketResponse(
            protocols=(*route.subprotocols, *SUBPROTOCOLS),
            compress=False,  # messages of a hundred bytes
            heartbeat=None,  # idle and stalled peers are found by what they do not do
            timeout=self._limits.close_seconds,
            max_msg_size=self._limits.message_bytes + 1,
        )
        socket.headers.update(exchange.headers)
        if not socket.can_prepare(request).ok:  # aiohttp is stricter about lists in headers
            raise Refusal(400, "the handshake cannot be read", "handshake")
        if request.transport is None:
            raise ConnectionResetError("the client is gone already")
        transport = Websocket(
            socket, request.protocol, request.transport, self._limits.close_seconds
        )
        connection = Connection(transport, limits)
        now = datetime.now(UTC)
        secret = exchange.grant.secret
        session = bytes(secret.session) if secret else NO_SESSION
        open_call = partial(self._answers.calls.open, exchange.grant.account.name)
        opening = Opening(exchange.peer.request_id, now, speller, self._strict, session, open_call)
        dialect = route.dialect(parameters, opening)
        channel = model.channels.open(connection, keywords=keywords)
        assert channel is not None  # nothing was awaited since the model was asked
        with closing(channel):  # also where the dialect fails at its beginning
            connection.protocol = protocol = StreamProtocol(dialect, channel, connection)
            lease.bind(
                lambda: protocol.audio_seconds,
                lambda refusal: connection.end_stream(f"{refusal.status} {refusal}", 1008),
            )
            try:
                await socket.prepare(request)
                await self._serve(connection, name, model, exchange)
            finally:
                connection.free_slot()
        return socket

    async def serve_wyoming(self, transport: Tcp, model: Model, exchange: Exchange) -> None:
        """Serve a connection of Wyoming's protocol."""
        connection = Connection(transport, self._limits)

        def open_channel(keywords: Mapping[str, float]) -> Channel | str:
            channel = model.channels.open(connection, keywords=keywords)
            return str(model.channels.refusal()) if channel is None else channel

        speller = Speller(model.alphabet, self._limits)
        offer = Offer(model.name, model.language, __version__, model.knows)
        connection.protocol = Wyoming(connection, open_channel, offer, speller)
        try:
            await self._serve(connection, "wyoming", model, exchange)
        finally:
            connection.free_slot()

    async def _serve(
        self, connection: Connection, name: str, model: Model, exchange: Exchange
    ) -> None:
        """Run a connection, count it, and note for the log what it was."""
        self._metrics.count_stream(name)
        self.connections.add(connection)
        try:
            await connection.run()
        except Exception:
            logger.exception("the adapter failed a connection, which is closed with 1011")
            await connection.break_off()
        finally:
            self.connections.discard(connection)
            close = connection.sent_close
            self._metrics.count_end(name, close.code if close else None)
            exchange.fields |= {
                "protocol": name,
                "model": model.name,
                "audio_seconds": round(connection.protocol.audio_seconds, 2),
                "close": close.code if close else connection.close_code,
                "reason": (close.reason if close else "") or None,
            }
