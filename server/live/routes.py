"""Routes: which websocket protocol is spoken at which path, and what a request may ask for."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType

from server.adapters.myrtle import Myrtle
from server.adapters.myrtle_messages import PATH, SUBPROTOCOL
from server.adapters.realtime import Realtime
from server.adapters.sherpa import Sherpa
from server.adapters.vosk import Vosk
from server.engine.models import Served
from server.live.request import COMMON_KEYS, Parameters, parse_common, parse_request
from server.protocol.hotwords import Speller
from server.protocol.stream import Dialect
from server.refusals import Refusal, quoted

INTENT = "transcription"


@dataclass(frozen=True)
class Route:
    """A path and the websocket protocol that is spoken there.

    Attributes:
        path: of the request.
        parse: checks the target of an upgrade request, or raises a `Refusal`.
        dialect: makes the dialect of a stream, from its parameters, the model's speller, and whether
            strict Myrtle mode is on.
        subprotocols: echoed if they are offered.
    """

    path: str
    parse: Callable[[str, Served], Parameters]
    dialect: Callable[[Parameters, Speller, bool], Dialect]
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


ROUTES: Mapping[str, Route] = MappingProxyType(
    {
        "myrtle": Route(
            PATH,
            parse_request,
            lambda parameters, _, strict: Myrtle(parameters.alternatives, strict),
            (SUBPROTOCOL,),
        ),
        "realtime": Route(
            "/v1/realtime",
            _parse_realtime,
            lambda parameters, speller, _: Realtime(
                _names(parameters), parameters.language, speller, parameters.silence
            ),
        ),
        "sherpa": Route("/sherpa", _parse_common, lambda *_: Sherpa()),
        "vosk": Route(
            "/vosk",
            _parse_common,
            lambda parameters, speller, _: Vosk(speller, models=_names(parameters)),
        ),
    }
)
"""By the name of the protocol. A new one is a dialect in `server.adapters` and a row here."""
