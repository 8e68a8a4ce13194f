"""HTTP beside the websockets: health, metrics, models, who may ask."""

from __future__ import annotations

import asyncio
import urllib.parse
from typing import Any

import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus

from server.http.access import Access
from server.http.app import Settings
from tests.server.scripted import (
    QUERY,
    Reply,
    ScriptedEngine,
    keyring,
    model_of,
    pcm,
    request,
    serving,
)


async def test_model_tells_what_is_served() -> None:
    async with serving(ScriptedEngine(4), model_of(ScriptedEngine(1), 1, "other")) as service:
        reply = await request(service, "GET", "/model")
        first, second = reply.json["models"]
        assert first == {
            "name": "general",
            "channels": 4,
            "channels_open": 0,
            "refusal": None,
            "language": "en",
        }
        assert (second["name"], second["channels"]) == ("other", 1)
        listed = (await request(service, "GET", "/v1/models")).json
        assert [entry["id"] for entry in listed["data"]] == ["general", "other"]


async def test_a_query_picks_the_model_and_each_has_its_own_slots() -> None:
    first = ScriptedEngine(1, lambda chunk, _: " first")
    other = model_of(ScriptedEngine(1, lambda chunk, _: " other"), 1, "other")
    async with serving(first, other, slots=1) as service:

        async def says(target: str) -> str:
            async with connect(f"ws://127.0.0.1:{service.port}{target}") as connection:
                await connection.send(pcm(0.06) if "asr" in target else bytes(4 * 960))
                async with asyncio.timeout(5):
                    return str(await connection.recv())

        async with connect(service.url):
            with pytest.raises(InvalidStatus) as refused:
                await says(f"/asr/v0.1/stream?{QUERY}&model=general")
            assert refused.value.response.status_code == 503
            assert '" other"' in await says(f"/asr/v0.1/stream?{QUERY}&model=other")
            await asyncio.sleep(0.05)
            assert '"other"' in await says("/sherpa?model=other")
        with pytest.raises(InvalidStatus) as refused:
            await says("/asr/v0.1/stream?model=third")
        assert refused.value.response.body == b"model is 'third'; served are 'general', 'other'\n"
        assert await service.get("/readyz") == (200, "ready\n")


@pytest.mark.parametrize(
    "method, target, status, text",
    [
        ("GET", "/nowhere", 404, "streams are at /asr/v0.1/stream"),
        ("POST", "/model", 405, "/model takes GET"),
        ("GET", "/transcribe", 405, "/transcribe takes POST"),
        ("GET", "/model?a=1&a=2", 400, "'a' is given twice"),
        ("GET", "/vosk", 426, "this path is a websocket"),
    ],
)
async def test_what_is_not_there_is_named(method: str, target: str, status: int, text: str) -> None:
    async with serving(ScriptedEngine(1)) as service:
        reply = await request(service, method, target)
    assert reply.status == status
    assert text in reply.body.decode()


async def test_head_has_no_body() -> None:
    async with serving(ScriptedEngine(1)) as service:
        for target in ("/healthz", "/model"):
            reply = await request(service, "HEAD", target)
            assert (reply.status, reply.body) == (200, b"")


async def test_without_the_token_there_is_health_only() -> None:
    settings = Settings(Access(keyring("a secret")))
    async with serving(ScriptedEngine(1), settings=settings) as service:
        assert (await service.get("/healthz"))[0] == 200
        assert (await service.get("/readyz"))[0] == 200
        for method, target in [
            ("GET", "/metrics"),
            ("GET", "/model"),
            ("POST", "/transcribe"),
            ("GET", "/nowhere"),
        ]:
            reply = await request(service, method, target)
            assert (reply.status, reply.headers["WWW-Authenticate"]) == (401, "Bearer")
        with pytest.raises(InvalidStatus) as refused:
            await connect(service.url)
        assert refused.value.response.status_code == 401
        bearer = {"Authorization": "Bearer a secret"}
        assert (await request(service, "GET", "/model", **bearer)).status == 200
        async with connect(service.url, additional_headers=bearer):
            pass
        async with connect(f"{service.url}&token={urllib.parse.quote('a secret')}"):
            pass


async def test_pages_of_other_origins_are_refused_unless_they_are_listed() -> None:
    settings = Settings(Access(keyring("x"), origins=frozenset({"https://friend.org"})))
    async with serving(ScriptedEngine(1), settings=settings) as service:
        evil = await request(service, "GET", "/model?token=x", Origin="https://evil.org")
        assert evil.status == 403
        assert "Access-Control-Allow-Origin" not in evil.headers
        friend = await request(service, "GET", "/model?token=x", Origin="https://friend.org")
        assert friend.status == 200
        assert friend.headers["Access-Control-Allow-Origin"] == "https://friend.org"
        asked = await request(service, "OPTIONS", "/transcribe", Origin="https://friend.org")
        assert asked.status == 204
        assert "Authorization" in asked.headers["Access-Control-Allow-Headers"]
        with pytest.raises(InvalidStatus) as refused:
            await connect(f"{service.url}&token=x", origin="https://evil.org")  # type: ignore[arg-type]
        assert refused.value.response.status_code == 403


def error_of(reply: Reply) -> dict[str, Any]:
    assert reply.headers["Content-Type"] == "application/json"
    error: dict[str, Any] = reply.json["error"]
    assert set(error) == {"message", "type", "param", "code"}
    return error


async def test_a_model_is_found_by_its_id() -> None:
    async with serving(ScriptedEngine(1)) as service:
        found = await request(service, "GET", "/v1/models/general")
        assert (found.status, found.json["id"], found.json["object"]) == (200, "general", "model")
        missing = await request(service, "GET", "/v1/models/gpt%2F4o")
        assert error_of(missing)["code"] == "model_not_found"
        assert "'gpt/4o'" in error_of(missing)["message"]
