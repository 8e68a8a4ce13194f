"""Talks: which websocket protocol is spoken at which path, and what a request may ask of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

from server.adapters.myrtle import Myrtle
from server.adapters.realtime import Realtime
from server.adapters.sherpa import Sherpa
from server.adapters.vosk import Vosk
from server.conversation import Conversation
from server.hotwords import Speller
from server.request import (
    PATH,
    SUBPROTOCOL,
    Parameters,
    Refusal,
    Served,
    choose_hotwords,
    parse_query,
    parse_request,
)
from server.transcript import TokenText

__all__ = ["TALKS", "Talk"]


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
    open: Callable[[Parameters, TokenText, Speller, bool], Conversation]
    subprotocols: tuple[str, ...] = ()


def _parse_model(target: str, served: Served) -> Parameters | Refusal:
    """Take the keys `model` and `hotwords`, which these protocols have not, and leave theirs alone."""
    values = parse_query(target)
    if isinstance(values, Refusal):
        return values
    model = served.choose(values.get("model"))
    if isinstance(model, Refusal):
        return model
    hotwords = choose_hotwords(values.get("hotwords"))
    if isinstance(hotwords, Refusal):
        return hotwords
    aliases = tuple(alias for alias, name in served.aliases.items() if name == model)
    language = served.models[model]
    return Parameters(model=model, language=language, hotwords=hotwords, aliases=aliases)


TALKS: Mapping[str, Talk] = MappingProxyType(
    {
        "myrtle": Talk(
            PATH,
            parse_request,
            lambda parameters, text, _, strict: Conversation(Myrtle(parameters, text, strict)),
            (SUBPROTOCOL,),
        ),
        "realtime": Talk(
            "/v1/realtime",
            _parse_model,
            lambda parameters, text, _, strict: Conversation(
                Realtime(text, (parameters.model, *parameters.aliases), parameters.language)
            ),
        ),
        "sherpa": Talk(
            "/sherpa", _parse_model, lambda _, text, speller, strict: Conversation(Sherpa(text))
        ),
        "vosk": Talk(
            "/vosk",
            _parse_model,
            lambda _, text, speller, strict: Conversation(Vosk(text, speller)),
        ),
    }
)
"""By name."""
