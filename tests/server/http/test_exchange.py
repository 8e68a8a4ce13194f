from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Iterable

import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus

from server.http.app import Settings
from server.http.peers import parse_networks
from tests.server.http.asking import DOORS, STREAM, exchange, lines
from tests.server.scripted import (
    UPGRADE,
    ScriptedEngine,
    form,
    pcm,
    request,
    serving,
    wav,
)


def check_headers(headers: dict[str, str]) -> None:
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["content-security-policy"] == "frame-ancestors 'self'"
    assert len(headers["x-request-id"]) == 16


async def test_every_answer_has_an_id_and_says_what_browsers_may_do_with_it() -> None:
    async with serving(ScriptedEngine(2), slots=2) as service:
        heads: Iterable[tuple[str, ...]] = [
            *((f"GET {path} HTTP/1.1", "Host: x") for path in DOORS),
            ("GET /model HTTP/1.1", "Host: evil.example"),
            ("OPTIONS /model HTTP/1.1", "Host: x"),
            ("POST /transcribe HTTP/1.1", "Host: x", "Content-Length: 0"),
            (f"GET {STREAM} HTTP/1.1", "Host: x", *UPGRADE),
        ]
        for head in heads:
            _, headers = await exchange(service, *head)
            check_headers(headers)
        body, kind = form(wav(pcm(0.2)), stream="true")
        reply = await request(service, "POST", "/v1/audio/transcriptions", body, Content_Type=kind)
        assert reply.headers["Content-Type"] == "text/event-stream"
        check_headers({key.lower(): value for key, value in reply.headers.items()})


TRANSCRIPTIONS = "/v1/audio/transcriptions"


async def test_every_request_leaves_one_line_and_nothing_that_was_said(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO)
    said = ScriptedEngine(1, lambda chunk, _: " secret")
    async with serving(said, slots=1) as service:
        reply = await request(service, "GET", "/model?token=hidden")
        await request(service, "GET", "/model", Host="evil.example", Origin="http://evil.example")
        async with connect(service.url) as connection:
            await connection.send(pcm(0.12))
            await connection.recv()
            with pytest.raises(InvalidStatus):
                await connect(service.url)
            await connection.send(b"")
            async for _ in connection:
                pass
        body, kind = form(wav(pcm(0.6)))
        await request(service, "POST", "/transcribe", body, Content_Type=kind)
        await request(service, "GET", "/healthz")
        for target in (f"{STREAM}?hotwords=Hidden%C3%84", f"{STREAM}?hotwords=hidden:x"):
            assert (await service.get(target, *UPGRADE))[0] == 400
        body, kind = form(wav(pcm(0.1)), **{"keywords[]": "hidden\u00c4"})
        unspelt = await request(service, "POST", TRANSCRIPTIONS, body, Content_Type=kind)
        assert unspelt.status == 400
        await service.until_free()
    got = lines(caplog)
    assert [(line["path"], line["status"], line.get("refused")) for line in got] == [
        ("/model", 200, None),
        ("/model", 421, "host"),
        (STREAM, 503, "full"),
        (STREAM, 101, None),
        ("/transcribe", 200, None),
        (STREAM, 400, "request"),
        (STREAM, 400, "request"),
        (TRANSCRIPTIONS, 400, "request"),
    ]
    assert got[0]["request_id"] == reply.headers["X-Request-Id"]
    assert got[0]["peer"] == "127.0.0.1"
    assert got[2]["reason"] == "all 1 channels are in use"
    stream, upload = got[3], got[4]
    assert (stream["protocol"], stream["close"], stream["audio_seconds"]) == ("myrtle", 1000, 0.12)
    assert stream["seconds"] > 0
    assert (upload["protocol"], upload["audio_seconds"]) == ("transcribe", pytest.approx(0.6))
    assert len({line["request_id"] for line in got}) == 8
    written = json.dumps(got) + caplog.text
    assert "secret" not in written and "hidden" not in written.lower()


async def test_a_trusted_proxy_says_who_the_client_is_and_what_the_request_is_called(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO)
    said = {"X_Request_Id": "abc-1", "X_Forwarded_For": "9.9.9.9"}
    async with serving(ScriptedEngine(1)) as service:
        stranger = await request(service, "GET", "/model", **said)
    trusting = Settings(proxies=parse_networks("127.0.0.1"))
    async with serving(ScriptedEngine(1), settings=trusting) as service:
        trusted = await request(service, "GET", "/model", **said)
        rubbish = await request(service, "GET", "/model", **{**said, "X_Request_Id": "a b"})
    assert stranger.headers["X-Request-Id"] != "abc-1"
    assert trusted.headers["X-Request-Id"] == "abc-1"
    assert len(rubbish.headers["X-Request-Id"]) == 16
    assert [line["peer"] for line in lines(caplog)] == ["127.0.0.1", "9.9.9.9", "9.9.9.9"]


async def test_a_wyoming_connection_leaves_its_line(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    async with serving(ScriptedEngine(1), wyoming_port=0) as service:
        reader, writer = await asyncio.open_connection("127.0.0.1", service.wyoming_port)
        writer.write(b"rubbish\n")
        async with asyncio.timeout(5):
            await reader.read()
        writer.close()
    (line,) = lines(caplog)
    assert (line["protocol"], line["close"], line["peer"]) == ("wyoming", 1008, "127.0.0.1")
    assert "the line is not an event" in line["reason"]
