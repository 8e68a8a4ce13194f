from __future__ import annotations

import json
from typing import Any

import pytest

from server.adapters.realtime_secrets import Wanted, answer, parse_body
from server.engine.models import Served
from server.refusals import Refusal

SERVED = Served({"en": "en", "fr": "fr"}, aliases={"whisper-1": "fr"}, silences={"fr": 0.8})


def parse(**body: Any) -> Wanted:
    return parse_body(json.dumps(body).encode(), SERVED)


def session(**transcription: Any) -> dict[str, Any]:
    return {"type": "transcription", "audio": {"input": {"transcription": transcription}}}


@pytest.mark.parametrize("body", [b"", b"{}", b'{"expires_after":{}}'])
def test_nothing_is_required(body: bytes) -> None:
    wanted = parse_body(body, SERVED)
    assert (wanted.seconds, wanted.model, wanted.session) == (600, "en", b"{}")


def test_a_session_is_for_the_model_that_it_names() -> None:
    wanted = parse(
        expires_after={"anchor": "created_at", "seconds": 10},
        session=session(model="whisper-1", language="fr-CA", keywords=["Lyon"]),
    )
    assert (wanted.seconds, wanted.model) == (10, "fr")
    assert wanted.settings.keywords == ("Lyon",)
    body = json.loads(answer(wanted, "ek_x", 1234).body)
    assert (body["value"], body["expires_at"]) == ("ek_x", 1234)
    described = body["session"]
    assert described["id"].startswith("sess_") and described["type"] == "transcription"
    assert described["audio"]["input"]["turn_detection"]["silence_duration_ms"] == 800
    assert described["audio"]["input"]["transcription"]["model"] == "whisper-1"


@pytest.mark.parametrize(
    "body, text, param",
    [
        ({"expires_after": {"seconds": 9}}, "is 9; want 10 to 7200", "expires_after.seconds"),
        ({"expires_after": {"seconds": 7201}}, "is 7201; want 10", "expires_after.seconds"),
        ({"expires_after": {"seconds": "60"}}, "Expected `int`", "expires_after.seconds"),
        ({"expires_after": {"anchor": "now"}}, "Invalid enum value", "expires_after.anchor"),
        ({"expire_after": {}}, "unknown field `expire_after`", None),
        ({"session": {"type": "realtime"}}, "want 'transcription'", "session.type"),
        ({"session": {"instructions": "x"}}, "unknown field", "session"),
        ({"session": session(model="gpt-99")}, "served are 'en', 'fr', 'whisper-1'", None),
        ({"session": session(model="en", language="fr")}, "served is 'en'", None),
        ({"session": session(keywords=["x" * 3000])}, "has room for 2048", "session"),
        ([], "Expected `object`", None),
    ],
)
def test_what_cannot_be_granted_is_refused(body: Any, text: str, param: str | None) -> None:
    with pytest.raises(Refusal) as raised:
        parse_body(json.dumps(body).encode(), SERVED)
    assert raised.value.status == 400 and text in str(raised.value)
    assert param is None or raised.value.param == param


@pytest.mark.parametrize("body", [b"{", b"\xff", b"[" * 60_000, b'"\\ud800"'])
def test_what_is_no_json_is_refused(body: bytes) -> None:
    with pytest.raises(Refusal):
        parse_body(body, SERVED)
