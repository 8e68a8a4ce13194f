"""The request that opens a stream: its query, checked before the upgrade.

GET /asr/v0.1/stream?content_type=audio/x-raw;format=S16LE;channels=1;rate=16000&model=general&…

Clients send the semicolons unescaped, so the query is split at "&" only and each value is then
percent-decoded. `KEYS` are the keys of all protocols: each is obeyed, or refused where it belongs to
another protocol. Unknown keys are ignored, as by the original servers. Nothing that a peer sends
raises anything but a `Refusal`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from urllib.parse import unquote_plus

from server.adapters.deepgram import options as deepgram
from server.adapters.deepgram.options import Options, parse_options
from server.adapters.myrtle_messages import PATH
from server.engine.models import Served
from server.protocol.hotwords import HotwordError, parse_hotwords
from server.refusals import Refusal, quoted

COMMON_KEYS = frozenset({"model", "lang", "hotwords", "token"})
MYRTLE_KEYS = COMMON_KEYS | {"content_type", "version", "alternatives"}
LISTEN_KEYS = COMMON_KEYS | deepgram.KEYS
KEYS = MYRTLE_KEYS | LISTEN_KEYS | {"intent", "call"}  # OpenAI's, Asterisk's
AUDIO_FORMAT = MappingProxyType({"format": "S16LE", "rate": "16000", "channels": "1"})


@dataclass(frozen=True)
class Parameters:
    """A request that is granted.

    Attributes:
        model, version, language: what was asked for.
        alternatives: the most that a response may hold.
        hotwords: boost of each.
        aliases: further names of the model.
        silence: seconds without text that end an utterance of it, None where they do not.
        call: id by which a call is watched, "" where the query gives none.
    """

    model: str = "general"
    version: str = "latest"
    language: str = "en"
    alternatives: int = 1
    hotwords: Mapping[str, float] = field(default_factory=dict)
    aliases: tuple[str, ...] = ()
    silence: float | None = None
    call: str = ""


@dataclass(frozen=True)
class ListenParameters(Parameters):
    """A request of Deepgram's API that is granted.

    Attributes:
        options: that only this API has.
    """

    options: Options = field(default_factory=Options)


def refuse_hotwords(error: HotwordError, param: str = "hotwords") -> Refusal:
    """Return the refusal of hotwords, which are not logged: they may be names."""
    return Refusal(400, str(error), param=param, logged=f"{param} cannot be served")


def parse_items(target: str) -> list[tuple[str, str]]:
    """Return the keys and values of the query of a request's target, in order."""
    items = filter(None, target.partition("?")[2].split("&"))
    return [
        (unquote_plus(key), unquote_plus(value))
        for key, _, value in (item.partition("=") for item in items)
    ]


def parse_query(target: str) -> dict[str, str]:
    """Return the values of the query of a request's target, by key; the last of a list."""
    values: dict[str, str] = {}
    for key, value in parse_items(target):
        if key in values and key not in deepgram.REPEATABLE:
            raise Refusal(400, f"{quoted(key)} is given twice")
        values[key] = value
    return values


def parse_common(
    target: str, served: Served, keys: frozenset[str] = COMMON_KEYS
) -> tuple[Parameters, Mapping[str, str]]:
    """Check the query keys of every websocket protocol.

    Args:
        target: of the request line, path and query.
        served: what may be asked for.
        keys: of this protocol.
    Returns:
        What is granted, and all values, for the protocol's own keys.
    """
    values = parse_query(target)
    if strange := sorted((KEYS - keys).intersection(values)):
        there = ", ".join(sorted(keys))
        raise Refusal(400, f"{strange[0]} means nothing here; there are {there}", param=strange[0])
    model = served.choose(values.get("model"))
    language = values.get("lang", served.models[model])
    if language.lower().split("-")[0] != served.models[model]:
        raise Refusal(400, f"lang is {quoted(language)}; served is {served.models[model]!r}")
    try:
        hotwords = parse_hotwords(values.get("hotwords", ""))
    except HotwordError as error:
        raise refuse_hotwords(error) from error
    aliases = tuple(alias for alias, name in served.aliases.items() if name == model)
    silence = served.silences.get(model)
    granted = Parameters(
        model=model, language=language, hotwords=hotwords, aliases=aliases, silence=silence
    )
    return granted, values


def parse_listen(target: str, served: Served) -> ListenParameters:
    """Check the target of a request of Deepgram's API, for a websocket or a recording."""
    granted, _ = parse_common(target, served, LISTEN_KEYS)
    language = served.models[granted.model]
    options = parse_options(parse_items(target), language, served.versions)
    hotwords = {**granted.hotwords, **options.hotwords}
    return ListenParameters(**(vars(granted) | {"hotwords": hotwords}), options=options)


def parse_request(target: str, served: Served | None = None) -> Parameters:
    """Check the target of an upgrade request of Myrtle's API.

    Args:
        target: of the request line, path and query.
        served: what may be asked for.
    """
    served = served or Served()
    path = target.partition("?")[0]
    if path != PATH:
        raise Refusal(404, f"there is nothing at {quoted(path)}; streams are at {PATH}", "path")
    granted, values = parse_common(target, served, MYRTLE_KEYS)
    fault = _content_type_fault(values.get("content_type"))
    if fault is not None:
        raise Refusal(400, fault)
    version = values.get("version", "latest")
    versions = ("latest", *served.versions)
    if version not in versions:
        raise Refusal(400, f"version is {quoted(version)}; served are {', '.join(versions)}")
    alternatives = values.get("alternatives", "1")
    if alternatives not in map(str, range(1, 1000)):
        raise Refusal(400, f"alternatives is {quoted(alternatives)}; want 1 to 999")
    return replace(granted, version=version, alternatives=int(alternatives))


def _content_type_fault(value: str | None) -> str | None:
    """Return what is wrong with a `content_type`, None where nothing is or it is absent."""
    if value is None:
        return None
    kind, *settings = (part.strip() for part in value.split(";"))
    if kind.lower() != "audio/x-raw":
        return f"content_type is {quoted(kind)}; only 'audio/x-raw' is understood"
    for setting in filter(None, settings):
        key, _, given = (part.strip() for part in setting.partition("="))
        wanted = AUDIO_FORMAT.get(key.lower())
        if wanted is None:
            return f"content_type has {quoted(key)}; it may have {', '.join(AUDIO_FORMAT)}"
        if given.upper() != wanted:
            return f"content_type has {key} {quoted(given)}; only {key}={wanted} is understood"
    return None
