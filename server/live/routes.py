"""Talks: which websocket protocol is spoken at which path, and what a request may ask of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType

from server.adapters.myrtle import Myrtle
from server.adapters.realtime import Realtime
from server.adapters.sherpa import Sherpa
from server.adapters.vosk import Vosk
from server.live.request import (
    COMMON_KEYS,
    PATH,
    SUBPROTOCOL,
    Parameters,
    Refusal,
    Served,
    parse_common,
    parse_request,
    quoted,
)
from server.protocol.hotwords import Speller
from server.protocol.stream import Conversation

__all__ = ["TALKS", "Talk"]

INTENT = "transcription"


@dataclass(frozen=True)
class Talk:
    """A websocket protocol.

    Attributes:
        path: where it is spoken.
        parse: checks the target of an upgrade request.
        open: begins a conversation; the speller is the model's, the last argument whether Myrtle's
            responses are theirs alone.
        subprotocols: that are echoed where they are offered.
    """

    path: str
    parse: Callable[[str, Served], Parameters | Refusal]
    open: Callable[[Parameters, Speller, bool], Conversation]
    subprotocols: tuple[str, ...] = ()


def _names(parameters: Parameters) -> tuple[str, ...]:
    return (parameters.model, *parameters.aliases)


def _parse_common(target: str, served: Served) -> Parameters | Refusal:
    common = parse_common(target, served)
    return common if isinstance(common, Refusal) else common[0]


def _parse_realtime(target: str, served: Served) -> Parameters | Refusal:
    common = parse_common(target, served, COMMON_KEYS | {"intent"})
    if isinstance(common, Refusal):
        return common
    granted, values = common
    intent = values.get("intent", INTENT)
    if intent != INTENT:
        return Refusal(400, f"intent is {quoted(intent)}; want {INTENT!r}", param="intent")
    # Its language is a primary tag, as that of the session's settings.
    return replace(granted, language=served.models[granted.model])


TALKS: Mapping[str, Talk] = MappingProxyType(
    {
        "myrtle": Talk(
            PATH,
            parse_request,
            lambda parameters, _, strict: Conversation(Myrtle(parameters, strict)),
            (SUBPROTOCOL,),
        ),
        "realtime": Talk(
            "/v1/realtime",
            _parse_realtime,
            lambda parameters, speller, _: Conversation(
                Realtime(_names(parameters), parameters.language, speller, parameters.silence)
            ),
        ),
        "sherpa": Talk("/sherpa", _parse_common, lambda *_: Conversation(Sherpa())),
        "vosk": Talk(
            "/vosk",
            _parse_common,
            lambda parameters, speller, _: Conversation(Vosk(speller, models=_names(parameters))),
        ),
    }
)
"""By name."""
