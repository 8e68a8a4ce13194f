from __future__ import annotations

from typing import Any

import pytest
from websockets.asyncio.client import connect

from server.http.access import Access
from server.http.app import Settings
from tests.server.http.asking import STREAM, code, exchange
from tests.server.scripted import (
    UPGRADE,
    Reply,
    ScriptedEngine,
    form,
    keyring,
    request,
    serving,
)


@pytest.mark.parametrize(
    "method, path, status, allow",
    [
        ("POST", STREAM, 405, "GET"),
        ("DELETE", "/model", 405, "GET, HEAD"),
        ("PUT", "/", 405, "GET, HEAD"),
        ("POST", "/healthz", 405, "GET, HEAD"),
        ("GET", "/transcribe", 405, "POST"),
        ("GET", "/v1/audio/transcriptions", 405, "POST"),
        ("TRACE", "/metrics", 405, "GET, HEAD"),
    ],
)
async def test_another_method_is_told_which_are_allowed(
    method: str, path: str, status: int, allow: str
) -> None:
    async with serving(ScriptedEngine(1)) as service:
        got, headers = await exchange(service, f"{method} {path} HTTP/1.1", "Host: x")
        assert (code(got), headers["allow"]) == (status, allow)


def error_of(reply: Reply) -> dict[str, Any]:
    assert reply.headers["Content-Type"] == "application/json"
    error: dict[str, Any] = reply.json["error"]
    assert set(error) == {"message", "type", "param", "code"}
    return error


TRANSCRIPTIONS = "/v1/audio/transcriptions"


async def test_under_v1_every_refusal_is_an_error_object() -> None:
    async with serving(ScriptedEngine(1), slots=1, upload_bytes=100) as service:
        for method, path, status in [
            ("GET", "/v1/nowhere", 404),
            ("GET", "/v1/models/nothing", 404),
            ("POST", "/v1/models", 405),
            ("GET", TRANSCRIPTIONS, 405),
            ("POST", TRANSCRIPTIONS, 400),
            ("GET", "/v1/models?a=1&a=2", 400),
            ("GET", "/v1/realtime", 426),
            ("POST", "/v1/realtime", 405),
        ]:
            reply = await request(service, method, path)
            assert reply.status == status
            assert error_of(reply)["type"] == "invalid_request_error"
        body, kind = form(bytes(1000))
        too_large = await request(service, "POST", TRANSCRIPTIONS, body, Content_Type=kind)
        assert (too_large.status, error_of(too_large)["type"]) == (413, "invalid_request_error")
        evil = await request(service, "GET", "/v1/models", Origin="https://evil.org")
        assert (evil.status, error_of(evil)["type"]) == (403, "invalid_request_error")
        async with connect(service.url):
            full = await request(service, "POST", TRANSCRIPTIONS, body, Content_Type=kind)
            assert (full.status, error_of(full)["type"]) == (503, "server_error")
            assert full.headers["Retry-After"] == "1"
    async with serving(ScriptedEngine(1), settings=Settings(Access(keyring("secret")))) as service:
        unknown = await request(service, "GET", "/v1/models", Authorization="Bearer guess")
        assert (unknown.status, error_of(unknown)["code"]) == (401, "invalid_api_key")
        assert unknown.headers["WWW-Authenticate"] == "Bearer"


async def test_a_failure_of_the_server_is_an_error_object_too(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(*_: object) -> None:
        raise RuntimeError("a fault of ours")

    monkeypatch.setattr("server.adapters.openai.list_models", fail)
    async with serving(ScriptedEngine(1)) as service:
        reply = await request(service, "GET", "/v1/models")
    assert (reply.status, error_of(reply)["type"]) == (500, "server_error")
    assert "a fault of ours" not in reply.body.decode()
    (failed,) = [record for record in caplog.records if record.exc_info]
    assert reply.headers["X-Request-Id"] in failed.getMessage()


async def test_a_refusal_at_deepgrams_path_is_deepgrams_error_and_names_the_request() -> None:
    async with serving(ScriptedEngine(1)) as service:
        for query, text in (
            (
                "encoding=speex",
                "encoding is 'speex'; want one of linear16, mulaw, alaw, opus, ogg-opus",
            ),
            ("diarize=true", "diarize is 'true'; this is not done here; leave it out"),
            ("encoding=mulaw&encoding=alaw", "'encoding' is given twice"),
        ):
            got, headers = await exchange(
                service, f"GET /v1/listen?{query} HTTP/1.1", "Host: x", *UPGRADE
            )
            assert (code(got), headers["dg-error"]) == (400, text)
            assert headers["dg-request-id"] == headers["x-request-id"]
        reply = await request(service, "GET", "/v1/listen")
        assert reply.json["err_code"] and reply.json["request_id"]
