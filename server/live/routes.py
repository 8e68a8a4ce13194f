"""Routes: which websocket protocol is spoken at which path, and what a request may ask for."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from types import MappingProxyType
from typing import Any, Generic, TypeVar

from server.adapters.deepgram.live import Listen
from server.adapters.deepgram.messages import PATH as LISTEN_PATH
from server.adapters.deepgram.messages import Request
from server.adapters.myrtle import Myrtle
from server.adapters.myrtle_messages import PATH, SUBPROTOCOL
from server.adapters.realtime import Realtime
from server.adapters.realtime_settings import NO_SESSION
from server.adapters.sherpa import Sherpa
from server.adapters.telephony import asterisk, twilio
from server.adapters.telephony.asterisk import Asterisk
from server.adapters.telephony.call import OpenCall, unwatched
from server.adapters.telephony.twilio import Twilio
from server.adapters.vosk import Vosk
from server.engine.models import Served
from server.live.request import (
    COMMON_KEYS,
    ListenParameters,
    Parameters,
    parse_common,
    parse_listen,
    parse_request,
)
from server.protocol.hotwords import Speller
from server.protocol.stream import Dialect
from server.refusals import Refusal, quoted

INTENT = "transcription"
P = TypeVar("P", bound=Parameters)


@dataclass(frozen=True)
class Opening:
    """What a dialect may know of its stream, besides the parameters.

    Attributes:
        request_id: of the request that opens it.
        time: of its arrival.
        speller: of the model's hotwords.
        strict: whether strict Myrtle mode is on.
        session: settings of OpenAI's session, from its client secret.
        open_call: lets a call be watched by its id.
    """

    request_id: str
    time: datetime
    speller: Speller
    strict: bool = False
    session: bytes = NO_SESSION
    open_call: OpenCall = unwatched


@dataclass(frozen=True)
class Route(Generic[P]):
    """A path and the websocket protocol that is spoken there.

    Attributes:
        path: of the request.
        parse: checks the target of an upgrade request, or raises a `Refusal`.
        dialect: makes the dialect of a stream.
        subprotocols: echoed if they are offered, before those that carry tokens (`server.http.access`).
    """

    path: str
    parse: Callable[[str, Served], P]
    dialect: Callable[[P, Opening], Dialect]
    subprotocols: tuple[str, ...] = ()


def _names(parameters: Parameters) -> tuple[str, ...]:
    return (parameters.model, *parameters.aliases)


def _parse_common(target: str, served: Served) -> Parameters:
    return parse_common(target, served)[0]


def _parse_realtime(target: str, served: Served) -> Parameters:
    granted, values = parse_common(target, served, COMMON_KEYS | {"intent"})
    intent = values.get("intent", INTENT)
    if intent != INTENT:
        raise Refusal(400, f"intent is {quoted(intent)}; want {INTENT!r}", param="intent")
    # Its language is a primary tag, like that of the session's settings.
    return replace(granted, language=served.models[granted.model])


def _listen(parameters: ListenParameters, opening: Opening) -> Listen:
    request = Request(opening.request_id, opening.time, parameters.model, parameters.options)
    return Listen(request, parameters.silence)


def _parse_asterisk(target: str, served: Served) -> Parameters:
    granted, values = parse_common(target, served, COMMON_KEYS | {"call"})
    return replace(granted, call=values.get("call", ""))


ROUTES: Mapping[str, Route[Any]] = MappingProxyType(
    {
        "asterisk": Route(
            asterisk.PATH,
            _parse_asterisk,
            lambda parameters, opening: Asterisk(opening.open_call, parameters.call),
            asterisk.SUBPROTOCOLS,
        ),
        "deepgram": Route(LISTEN_PATH, parse_listen, _listen),
        "myrtle": Route(
            PATH,
            parse_request,
            lambda parameters, opening: Myrtle(parameters.alternatives, opening.strict),
            (SUBPROTOCOL,),
        ),
        "realtime": Route(
            "/v1/realtime",
            _parse_realtime,
            lambda parameters, opening: Realtime(
                _names(parameters),
                parameters.language,
                opening.speller,
                parameters.silence,
                opening.session,
            ),
        ),
        "sherpa": Route("/sherpa", _parse_common, lambda *_: Sherpa()),
        "twilio": Route(twilio.PATH, _parse_common, lambda _, opening: Twilio(opening.open_call)),
        "vosk": Route(
            "/vosk",
            _parse_common,
            lambda parameters, opening: Vosk(opening.speller, models=_names(parameters)),
        ),
    }
)
"""By the name of the protocol. A new one is a dialect in `server.adapters` and a row here."""
