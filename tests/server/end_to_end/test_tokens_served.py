"""Tokens and their limits as clients of each protocol meet them."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.datastructures import Headers
from websockets.exceptions import InvalidStatus

from server.http.access import Access
from server.http.app import Settings
from server.tokens.keyring import Keyring
from tests.server.http.asking import lines
from tests.server.scripted import (
    ScriptedEngine,
    Service,
    form,
    keyring,
    pcm,
    request,
    serving,
    wav,
)

BEARER = {"Authorization": "Bearer one"}


@asynccontextmanager
async def guarded(*secrets: str, **limits: Any) -> AsyncIterator[tuple[Service, Keyring]]:
    """Run a server whose tokens all have these limits."""
    ring = keyring(*secrets, **limits)
    async with serving(ScriptedEngine(4), settings=Settings(Access(ring))) as service:
        yield service, ring


async def refused(url: str, **settings: Any) -> tuple[int, Headers, bytes]:
    """Return status, headers and body of a refused upgrade."""
    with pytest.raises(InvalidStatus) as raised:
        await connect(url, **settings)
    response = raised.value.response
    return response.status_code, response.headers, bytes(response.body or b"")


async def closed(connection: ClientConnection) -> tuple[int | None, str | None]:
    """Read until the server closes; return the code and the reason of its Close."""
    async with asyncio.timeout(5):
        await connection.wait_closed()
    return connection.close_code, connection.close_reason


@pytest.mark.parametrize(
    "path", ["/asr/v0.1/stream", "/vosk", "/sherpa", "/v1/realtime", "/v1/listen"]
)
async def test_streams_beyond_the_limit_are_refused_before_the_upgrade(path: str) -> None:
    async with guarded("one", "two", streams=1) as (service, _):
        url = f"ws://127.0.0.1:{service.port}{path}"
        async with connect(url, additional_headers=BEARER):
            status, headers, body = await refused(url, additional_headers=BEARER)
            assert (status, headers["Retry-After"]) == (429, "1")
            if path == "/v1/listen":
                assert json.loads(body)["err_code"] == "TOO_MANY_REQUESTS"
            elif path.startswith("/v1/"):
                error = json.loads(body)["error"]
                assert error["code"] == "rate_limit_exceeded"
                assert error["message"] == "the token 'token-1' has its 1 streams open"
            else:
                assert body == b"the token 'token-1' has its 1 streams open\n"
            other = {"Authorization": "Bearer two"}
            async with connect(url, additional_headers=other):  # each has its own limit
                pass
        await service.until_free()
        async with connect(url, additional_headers=BEARER):
            pass


@pytest.mark.parametrize(
    "offered, answered",
    [
        (["realtime", "openai-insecure-api-key.one"], "realtime"),
        (["token", "one"], "token"),
        (["bearer", "one"], "bearer"),
    ],
)
async def test_a_subprotocol_carries_a_token_and_is_not_repeated(
    offered: list[Any], answered: str
) -> None:
    async with guarded("one") as (service, _):
        url = f"ws://127.0.0.1:{service.port}/v1/realtime"
        async with connect(url, subprotocols=offered) as connection:
            assert connection.subprotocol == answered
        status, *_ = await refused(url, subprotocols=[*offered[:1], "openai-insecure-api-key.x"])
        assert status == 401


async def test_audio_beyond_the_limit_ends_streams_with_their_text(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("server.http.app.TICK_SECONDS", 0.01)
    async with guarded("one", audio_seconds_per_day=0.5) as (service, ring):
        url = f"{service.url}&token=one"
        async with connect(url) as connection:
            await connection.send(pcm(0.6))
            code, reason = await closed(connection)
        assert code == 1008
        assert reason == "429 the token 'token-1' has used its 0.5 s of audio per day"
        status, headers, _ = await refused(url)
        assert status == 429 and 0 < int(headers["Retry-After"]) <= 86_400
        body, kind = form(wav(pcm(0.3)))
        reply = await request(service, "POST", "/transcribe?token=one", body, Content_Type=kind)
        assert reply.status == 429 and "per day" in reply.json["detail"]
        (account,) = ring
        assert account.audio_seconds == pytest.approx(0.6, abs=0.06)


async def test_uploads_count_and_are_limited_as_streams_are() -> None:
    async with guarded("one", protocols=("openai",), models=("other",)) as (service, ring):
        body, kind = form(wav(pcm(0.3)), model="general")
        reply = await request(service, "POST", "/transcribe?token=one", body, Content_Type=kind)
        assert reply.status == 403
        assert reply.json["detail"] == "the token 'token-1' may not use the protocol 'transcribe'"
        path = "/v1/audio/transcriptions"
        reply = await request(service, "POST", path, body, Content_Type=kind, **BEARER)
        assert reply.status == 403
        assert reply.json["error"]["message"].endswith("may not use the model 'general'")
        (account,) = ring
        assert account.refused == {"permission": 2} and not account.leases
        assert service.channels.in_use == 0


async def test_a_long_stream_is_ended_at_the_limit_of_its_token() -> None:
    async with guarded("one", stream_seconds=0.1) as (service, _):
        async with connect(f"{service.url}&token=one") as connection:
            code, reason = await closed(connection)
        assert (code, reason) == (1001, "the stream has lasted 0.1 s; open a new one")


async def test_a_reload_keeps_streams_but_those_of_withdrawn_tokens() -> None:
    async with (
        guarded("one", "two") as (service, ring),
        connect(f"{service.url}&token=one") as first,
        connect(f"{service.url}&token=two") as second,
    ):
        one, _ = (account.token for account in ring)
        ring.replace({"token-1": one})
        assert await closed(second) == (1008, "403 the token was withdrawn")
        await first.send(pcm(0.12))
        await first.send(b"")
        assert await closed(first) == (1000, "")


async def test_an_upload_whose_token_is_withdrawn_while_it_comes_is_refused() -> None:
    async with guarded("one", "two") as (service, ring):
        _, second = (account for account in ring)
        body, kind = form(wav(pcm(0.3)))
        head = f"POST /transcribe HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer two\r\nContent-Type: {kind}\r\n"
        reader, writer = await asyncio.open_connection("127.0.0.1", service.port)
        writer.write(f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body[:-100])
        while not second.leases:
            await asyncio.sleep(0.01)
        ring.replace({"token-1": next(iter(ring)).token})
        writer.write(body[-100:])
        assert (await reader.readline()).startswith(b"HTTP/1.1 403")
        writer.close()
        await service.until_free()
        assert not second.leases


async def test_a_fault_while_audio_is_counted_leaves_the_limits_in_place(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("server.http.app.TICK_SECONDS", 0.01)
    faults, tick = [ValueError("once")], Keyring.tick

    def failing(keyring: Keyring) -> None:
        if faults:
            raise faults.pop()
        tick(keyring)

    monkeypatch.setattr(Keyring, "tick", failing)
    async with (
        guarded("one", audio_seconds_per_day=0.5) as (service, _),
        connect(f"{service.url}&token=one") as connection,
    ):
        await connection.send(pcm(0.6))
        code, _ = await closed(connection)
    assert code == 1008 and "counting the audio of the tokens failed" in caplog.text


async def test_logs_and_metrics_name_tokens_and_hold_no_secret(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level("DEBUG")
    ring = keyring("a-secret", metrics=True, streams=7)
    async with serving(ScriptedEngine(4), settings=Settings(Access(ring))) as service:
        async with connect(f"{service.url}&token=a-secret") as connection:
            await connection.send(b"")
            await closed(connection)
        for first in ("realtime", "unknown"):
            offered: Any = [first, "openai-insecure-api-key.a-secret"]
            async with connect(f"ws://127.0.0.1:{service.port}/v1/realtime", subprotocols=offered):
                pass
            await service.until_free()
        status, *_ = await refused(f"{service.url}&token=a-secret-guess")
        assert status == 401
        reply = await request(service, "GET", "/metrics?token=a-secret")
    text = reply.body.decode()
    assert 'rill_token_streams_total{token="token-1"} 3.0' in text
    assert 'rill_token_limit{limit="streams",token="token-1"} 7.0' in text
    assert "rill_tokens_reloaded 1.0" in text
    said = [each for each in caplog.records if not each.name.startswith("websockets")]
    assert said and all("secret" not in str(each.__dict__) for each in said)
    assert "secret" not in text
    named = [line["token"] for line in lines(caplog)]
    assert named.count("token-1") == 4 and None in named


async def test_metrics_of_all_tokens_are_for_tokens_that_may_read_them() -> None:
    async with guarded("one") as (service, _):
        status, body = await service.get("/metrics?token=one")
        assert status == 403 and "metrics = true" in body
        status, _ = await service.get("/model?token=one")
        assert status == 200
    async with guarded("one", metrics=True) as (service, _):
        status, _ = await service.get("/metrics?token=one")
        assert status == 200
