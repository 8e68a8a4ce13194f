"""OpenAI's POST /v1/realtime/client_secrets: what a body asks for, and the answer.

The body may hold the settings of a session. They are checked like those of a session.update, and apply to each
session that the secret opens until its client sets others.
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from typing import Literal

import msgspec

from server.adapters.openai import Answer
from server.adapters.realtime_settings import (
    NO_SESSION,
    Mistake,
    Settings,
    asked_model,
    decode_session,
)
from server.engine.models import Served
from server.refusals import Refusal
from server.tokens.client_secrets import SESSION_BYTES

USUAL_SECONDS = 600
LEAST_SECONDS, MOST_SECONDS = 10, 7200


class _ExpiresAfter(msgspec.Struct, forbid_unknown_fields=True):
    anchor: Literal["created_at"] = "created_at"
    seconds: int = USUAL_SECONDS


class _Body(msgspec.Struct, forbid_unknown_fields=True):
    expires_after: _ExpiresAfter | None = None
    session: msgspec.Raw = msgspec.Raw(NO_SESSION)


@dataclass(frozen=True)
class Wanted:
    """A client secret that is granted.

    Attributes:
        seconds: until it expires.
        session: settings, as they were sent.
        settings: that they make.
        model: served, that the sessions are for.
    """

    seconds: int
    session: bytes
    settings: Settings
    model: str


def parse_body(body: bytes, served: Served) -> Wanted:
    """Return what a body asks for; an empty one is a request with nothing set.

    Raises:
        Refusal: something in it cannot be granted.
    """
    try:
        asked = msgspec.json.decode(body or b"{}", type=_Body)
    except (msgspec.DecodeError, UnicodeError, RecursionError) as error:
        what, _, place = str(error).partition(" - at `$.")
        raise Refusal(400, str(error), param=place.rstrip("`") or None) from error
    seconds = (asked.expires_after or _ExpiresAfter()).seconds
    if not LEAST_SECONDS <= seconds <= MOST_SECONDS:
        text = f"expires_after.seconds is {seconds}; want {LEAST_SECONDS} to {MOST_SECONDS}"
        raise Refusal(400, text, param="expires_after.seconds")
    session = bytes(asked.session)
    if len(session) > SESSION_BYTES:
        text = f"session has {len(session)} bytes; a client secret has room for {SESSION_BYTES}"
        raise Refusal(400, text, param="session")
    try:
        update = decode_session(asked.session)
        model = served.choose(asked_model(update))
        names = (model, *(alias for alias, name in served.aliases.items() if name == model))
        settings = Settings(names, served.models[model], served.silences.get(model))
        settings.update(update)
    except Mistake as mistake:
        raise Refusal(400, str(mistake), param=mistake.param, code=mistake.code) from mistake
    return Wanted(seconds, session, settings, model)


def answer(wanted: Wanted, value: str, expires: int) -> Answer:
    """Return the body with the secret and the session that it opens."""
    session = {"id": f"sess_{secrets.token_hex(8)}", **wanted.settings.describe()}
    body = {"value": value, "expires_at": expires, "session": session}
    return Answer("application/json", msgspec.json.encode(body))
