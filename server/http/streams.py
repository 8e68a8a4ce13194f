"""Live streams: websockets and Wyoming's connections, from the request to what the log says of them.

What is checked stands in the order in which it is: what is asked for, the handshake, a free slot. The
slot is taken before the upgrade, so that a client who cannot be served gets an HTTP status instead of a
connection. What is spoken is `server.live.routes`, how a connection lives `server.live.connection`.
"""

from __future__ import annotations

import logging

from aiohttp import web

from server.adapters.wyoming import Offer, Wyoming
from server.engine.models import Model, Models
from server.http.answers import Answers
from server.http.exchange import Exchange, exchange_of
from server.http.handshake import handshake_refusal
from server.http.replies import refuse
from server.limits import Limits
from server.live.connection import Message, Session
from server.live.request import Refusal, refuse_hotwords
from server.live.routes import TALKS
from server.live.transport import Tcp, Websocket
from server.metrics import Metrics
from server.protocol.hotwords import HotwordError, Speller

__all__ = ["Streams"]

logger = logging.getLogger(__name__)


class Streams:
    """The live streams of a server.

    Args:
        models: what is served.
        limits: what a client may ask of this process.
        answers: knows why a model takes no stream now.
        metrics: what is counted.
        strict: whether Myrtle's responses have nothing that theirs have not.

    Attributes:
        sessions: that are open.
    """

    def __init__(
        self, models: Models, limits: Limits, answers: Answers, metrics: Metrics, strict: bool
    ) -> None:
        self.sessions: set[Session] = set()
        self._models = models
        self._limits = limits
        self._answers = answers
        self._metrics = metrics
        self._strict = strict

    async def serve_websocket(self, request: web.BaseRequest, name: str) -> web.StreamResponse:
        """Take a websocket of a protocol, by its name in `TALKS`, or refuse it before the upgrade."""
        talk, exchange = TALKS[name], exchange_of(request)
        _, _, query = request.raw_path.partition("?")
        parameters = talk.parse(f"{talk.path}?{query}", self._models.served)
        if isinstance(parameters, Refusal):
            return refuse(request, parameters)
        model = self._models[parameters.model]
        refusal = handshake_refusal(
            request.method, request.version, request.headers
        ) or self._answers.refusal(model)
        if refusal is not None:
            return refuse(request, refusal)
        speller = Speller(model.alphabet, self._limits)
        try:
            keywords = speller.spell(parameters.hotwords)
        except HotwordError as error:
            return refuse(request, refuse_hotwords(error))
        socket = web.WebSocketResponse(
            protocols=talk.subprotocols,
            compress=False,  # messages of a hundred bytes
            heartbeat=None,  # idle and stalled peers are found by what they do not do
            timeout=self._limits.close_seconds,
            max_msg_size=self._limits.message_bytes + 1,
        )
        socket.headers.update(exchange.headers)
        if not socket.can_prepare(request).ok:  # aiohttp is stricter about lists in headers
            return refuse(request, Refusal(400, "the handshake cannot be read", "handshake"))
        protocol = talk.open(parameters, speller, self._strict)

        def hear(message: Message) -> bool:
            if isinstance(message, str):
                protocol.receive_text(message)
            else:
                protocol.receive_audio(message)
            return True

        if request.transport is None:
            raise ConnectionResetError("the client is gone already")
        wire = Websocket(socket, request.protocol, request.transport, self._limits.close_seconds)
        session = Session(wire, protocol, hear, model.channels, self._limits)
        session.take_slot(keywords)
        try:
            await socket.prepare(request)
            await self._serve(session, name, model, exchange)
        finally:
            session.close()
        return socket

    async def serve_wyoming(self, wire: Tcp, model: Model, exchange: Exchange) -> None:
        """Serve a connection of Wyoming's."""
        speller = Speller(model.alphabet, self._limits)
        offer = Offer(model.name, model.language)
        protocol = Wyoming(offer, speller)

        def hear(message: Message) -> bool:
            assert isinstance(message, bytes)
            return protocol.receive_data(message)

        session = Session(wire, protocol, hear, model.channels, self._limits)
        try:
            await self._serve(session, "wyoming", model, exchange)
        finally:
            session.close()

    async def _serve(self, session: Session, name: str, model: Model, exchange: Exchange) -> None:
        """Run a session, count it, and note for the log what it was."""
        self._metrics.count_stream(name)
        self.sessions.add(session)
        try:
            await session.run()
        except Exception:
            logger.exception("the adapter failed a connection, which is closed with 1011")
            await session.break_off()
        finally:
            self.sessions.discard(session)
            close = session.farewell
            exchange.fields |= {
                "protocol": name,
                "model": model.name,
                "audio_seconds": round(session.seconds, 2),
                "close": close.code if close else session.close_code,
                "reason": (close.reason if close else "") or None,
            }
