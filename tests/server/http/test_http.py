"""HTTP as a stranger meets it, over raw sockets: names and origins, handshakes, frames, headers, the log."""

from __future__ import annotations

import asyncio
import json
import logging
import struct
from collections.abc import Iterable
from typing import Any

import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus

from server.http.access import Access
from server.http.app import Settings
from server.http.hosts import Hosts, parse_hosts
from server.http.peers import parse_networks
from tests.server.scripted import (
    UPGRADE,
    Reply,
    ScriptedEngine,
    Service,
    form,
    pcm,
    request,
    serving,
    wav,
)

LOOPBACK = Settings(Access(hosts=Hosts(network=False)))
MASK = b"\x37\xfa\x21\x3d"
STREAM = "/asr/v0.1/stream"
DOORS = [
    "/",
    "/page/main.js",
    "/healthz",
    "/readyz",
    "/metrics",
    "/model",
    "/v1/models",
    "/nowhere",
]
WEBSOCKETS = [STREAM, "/sherpa", "/vosk", "/v1/realtime?intent=transcription"]


async def exchange(service: Service, *lines: str, body: bytes = b"") -> tuple[str, dict[str, str]]:
    """Send a request line by line; return the status line of the answer, and its headers."""
    reader, writer = await asyncio.open_connection("127.0.0.1", service.port)
    writer.write("\r\n".join([*lines, "", ""]).encode("latin-1") + body)
    async with asyncio.timeout(5):
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
    writer.close()
    status, *headers = head.strip().split("\r\n")
    return status, {key.lower(): value for key, _, value in (h.partition(": ") for h in headers)}


def code(status: str) -> int:
    return int(status.split()[1])


def lines(caplog: pytest.LogCaptureFixture) -> list[dict[str, Any]]:
    """Return the fields of the lines of requests."""
    records = [each for each in caplog.records if each.name == "server.http.exchange"]
    return [each.__dict__["fields"] for each in records]


# Names and origins.


@pytest.mark.parametrize("settings", [LOOPBACK, Settings()], ids=["loopback", "network"])
async def test_a_name_that_rebinds_to_this_machine_is_refused_at_every_door(
    settings: Settings,
) -> None:
    async with serving(ScriptedEngine(1), settings=settings) as service:
        evil = (f"Host: evil.example:{service.port}", f"Origin: http://evil.example:{service.port}")
        for path in DOORS:
            assert code((await exchange(service, f"GET {path} HTTP/1.1", *evil))[0]) == 421
            # A page's GET of its own origin has no Origin header.
            assert code((await exchange(service, f"GET {path} HTTP/1.1", evil[0]))[0]) == 421
        for path in WEBSOCKETS:
            status, _ = await exchange(service, f"GET {path} HTTP/1.1", *evil, *UPGRADE)
            assert code(status) == 421
        for path in ("/transcribe", "/v1/audio/transcriptions"):
            status, _ = await exchange(service, f"POST {path} HTTP/1.1", *evil, "Content-Length: 0")
            assert code(status) == 421


async def test_by_address_and_as_localhost_every_door_is_open() -> None:
    async with serving(ScriptedEngine(4), settings=LOOPBACK) as service:
        for host in ("127.0.0.1", "localhost", f"[::1]:{service.port}", "10.244.1.7:3030"):
            for path in ("/", "/healthz", "/readyz", "/metrics", "/model"):
                assert (
                    code((await exchange(service, f"GET {path} HTTP/1.1", f"Host: {host}"))[0])
                    == 200
                )
            for path in WEBSOCKETS:
                head = (f"GET {path} HTTP/1.1", f"Host: {host}", f"Origin: http://{host}", *UPGRADE)
                assert code((await exchange(service, *head))[0]) == 101
                await service.until_free()


async def test_probes_of_http_1_0_need_no_host_and_requests_of_1_1_do() -> None:
    async with serving(ScriptedEngine(1), settings=LOOPBACK) as service:
        assert code((await exchange(service, "GET /readyz HTTP/1.0"))[0]) == 200
        assert code((await exchange(service, "GET /readyz HTTP/1.1"))[0]) == 400
        twice = ("Host: localhost", "Host: evil.example")
        assert code((await exchange(service, "GET /readyz HTTP/1.1", *twice))[0]) == 400


async def test_a_name_that_is_listed_is_a_name_of_the_server() -> None:
    settings = Settings(Access(hosts=parse_hosts("*.example.org", "127.0.0.1")))
    async with serving(ScriptedEngine(1), settings=settings) as service:
        for host, wanted in (("asr.example.org", 200), ("evil.example", 421)):
            status, _ = await exchange(service, "GET /model HTTP/1.1", f"Host: {host}")
            assert code(status) == wanted


@pytest.mark.parametrize(
    "origin, status",
    [
        ("http://localhost", 200),
        ("https://localhost", 403),
        ("null", 403),
        ("http://localhost:81", 403),
    ],
)
async def test_a_page_of_another_scheme_or_port_is_another_page(origin: str, status: int) -> None:
    async with serving(ScriptedEngine(1)) as service:
        got, headers = await exchange(
            service, "GET /model HTTP/1.1", "Host: localhost", f"Origin: {origin}"
        )
        assert code(got) == status
        assert ("access-control-allow-origin" in headers) == (status == 200)
        _, headers = await exchange(
            service, "GET /healthz HTTP/1.1", "Host: localhost", f"Origin: {origin}"
        )
        assert ("access-control-allow-origin" in headers) == (status == 200)


async def test_behind_a_proxy_that_ends_tls_the_scheme_is_what_a_trusted_one_says() -> None:
    head = ("GET /model HTTP/1.1", "Host: localhost", "Origin: https://localhost")
    said = "X-Forwarded-Proto: https"
    async with serving(ScriptedEngine(1)) as service:
        assert code((await exchange(service, *head, said))[0]) == 403
    trusting = Settings(proxies=parse_networks("127.0.0.0/8"))
    async with serving(ScriptedEngine(1), settings=trusting) as service:
        assert code((await exchange(service, *head, said))[0]) == 200
        assert code((await exchange(service, *head))[0]) == 403


# Handshakes and methods.


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


async def test_a_handshake_of_another_version_or_method_is_refused_as_the_rfc_says() -> None:
    async with serving(ScriptedEngine(1)) as service:
        old = [line.replace("Version: 13", "Version: 8") for line in UPGRADE]
        got, headers = await exchange(service, f"GET {STREAM} HTTP/1.1", "Host: x", *old)
        assert (code(got), headers["sec-websocket-version"]) == (426, "13")
        got, headers = await exchange(service, f"POST {STREAM} HTTP/1.1", "Host: x", *UPGRADE)
        assert (code(got), headers["allow"]) == (405, "GET")
        keyless = [line for line in UPGRADE if "Key" not in line]
        assert (
            code((await exchange(service, f"GET {STREAM} HTTP/1.1", "Host: x", *keyless))[0]) == 400
        )
        list_of_two = [line.replace(": websocket", ": websocket, h2c") for line in UPGRADE]
        got, _ = await exchange(service, f"GET {STREAM} HTTP/1.1", "Host: x", *list_of_two)
        assert code(got) == 400
        await service.until_free()


# Frames.


def frame(first: int, payload: bytes, masked: bool = True) -> bytes:
    head = (
        bytes((first, 0x80 * masked | len(payload)))
        if len(payload) < 126
        else (struct.pack("!BBH", first, 0x80 * masked | 126, len(payload)))
    )
    if not masked:
        return head + payload
    return head + MASK + bytes(byte ^ MASK[i % 4] for i, byte in enumerate(payload))


async def close_code(service: Service, *frames: bytes, at_once: bool = False) -> int | None:
    """Return the code with which the server closes after some frames."""
    reader, writer = await asyncio.open_connection("127.0.0.1", service.port)
    head = "\r\n".join([f"GET {STREAM} HTTP/1.1", "Host: x", *UPGRADE, "", ""]).encode()
    writer.write(head + b"".join(frames) if at_once else head)
    async with asyncio.timeout(5):
        await reader.readuntil(b"\r\n\r\n")
        if not at_once:
            writer.write(b"".join(frames))
        received = await reader.read()  # the server closes, and cuts who does not answer
    writer.close()
    place = received.rfind(b"\x88")
    return struct.unpack("!H", received[place + 2 : place + 4])[0] if place >= 0 else None


@pytest.mark.parametrize(
    "frames, expected",
    [
        ([frame(0x82, bytes(1920), masked=False)], 1002),
        ([frame(0x89, b"", masked=False)], 1002),
        ([frame(0x82, bytes(100)), frame(0x82, bytes(100), masked=False)], 1002),
        ([frame(0xC2, bytes(8))], 1002),  # a reserved bit
        ([frame(0xA2, bytes(8))], 1002),
        ([frame(0x83, b"")], 1002),  # a reserved opcode
        ([frame(0x8B, b"")], 1002),
        ([frame(0x80, b"x")], 1002),  # nothing to continue
        ([frame(0x09, b"")], 1002),  # a control frame in parts
        ([frame(0x89, bytes(126))], 1002),  # and too long
        ([frame(0x88, b"\x03")], 1002),  # half a code
        ([frame(0x81, b"\xff\xfe")], 1007),
        ([frame(0x01, b"\xc3"), frame(0x80, b"\x28")], 1007),
    ],
)
async def test_frames_that_the_rfc_forbids_close_the_stream_and_free_its_slot(
    frames: list[bytes], expected: int, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    async with serving(ScriptedEngine(1), close_seconds=0.2) as service:
        for at_once in (False, True):
            assert await close_code(service, *frames, at_once=at_once) == expected
            await service.until_free()
    assert [line["close"] for line in lines(caplog)] == [expected, expected]
    assert not [record for record in caplog.records if record.exc_info]


async def test_fragments_and_pings_between_them_are_one_message() -> None:
    async with serving(ScriptedEngine(1), close_seconds=0.2) as service:
        end = [
            frame(0x02, bytes(1000)),
            frame(0x89, b"x"),
            frame(0x80, bytes(920)),
            frame(0x82, b""),
        ]
        assert await close_code(service, *end) == 1000


# Rubbish.


@pytest.mark.parametrize(
    "rubbish",
    [
        b'{"type":"ping\xff\xfe"}\n',
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(range(256)),  # TLS
        b"\x00" * 400 + b"\r\n\r\n",
        b"GET / HTTP/9.9.9\r\n\r\n",
        b"GET /\x00\xff HTTP/1.1\r\nHost: x\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: x\r\nBad Header\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: x\r\nA: " + b"b" * 9000 + b"\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n",
    ],
)
async def test_what_is_not_http_gets_400_and_one_line_without_a_traceback(
    rubbish: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    async with serving(ScriptedEngine(1)) as service:
        reader, writer = await asyncio.open_connection("127.0.0.1", service.port)
        writer.write(rubbish)
        async with asyncio.timeout(5):
            answer = await reader.read()
        writer.close()
        assert answer.split(b"\r\n", 1)[0].split(b" ", 1)[1] == b"400 Bad Request"
        assert b"X-Request-Id: " in answer
        assert (await service.get("/readyz"))[0] == 200
    (line,) = [each for each in lines(caplog) if each["path"] != "/readyz"]
    assert (line["status"], line["refused"], line["method"]) == (400, "http", None)
    assert not [record for record in caplog.records if record.exc_info]


# Headers of every answer.


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


# OpenAI's errors.


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
    async with serving(ScriptedEngine(1), settings=Settings(Access(("secret",)))) as service:
        unknown = await request(service, "GET", "/v1/models", Authorization="Bearer guess")
        assert (unknown.status, error_of(unknown)["code"]) == (401, "invalid_api_key")
        assert unknown.headers["WWW-Authenticate"] == "Bearer"


async def test_a_model_is_found_by_its_id() -> None:
    async with serving(ScriptedEngine(1)) as service:
        found = await request(service, "GET", "/v1/models/general")
        assert (found.status, found.json["id"], found.json["object"]) == (200, "general", "model")
        missing = await request(service, "GET", "/v1/models/gpt%2F4o")
        assert error_of(missing)["code"] == "model_not_found"
        assert "'gpt/4o'" in error_of(missing)["message"]


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


# The log.


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
    assert "the line is no event" in line["reason"]


async def test_the_metrics_say_what_is_running() -> None:
    async with serving(ScriptedEngine(1)) as service:
        _, body = await service.get("/metrics")
    (line,) = [line for line in body.splitlines() if line.startswith("rill_build_info{")]
    assert 'model="general"' in line and 'language="en"' in line and 'version="' in line
    assert line.endswith(" 1.0")


# Peers that only ping.


async def test_a_websocket_that_only_pings_is_idle() -> None:
    async with (
        serving(ScriptedEngine(1), idle_seconds=0.4) as service,
        connect(service.url, ping_interval=0.05) as connection,
    ):
        async with asyncio.timeout(5):
            await connection.wait_closed()
        assert connection.close_code == 1008
        await service.until_free()


async def test_a_wyoming_peer_that_only_pings_is_idle_and_loses_its_slot() -> None:
    async with serving(ScriptedEngine(1), idle_seconds=0.4, wyoming_port=0) as service:
        reader, writer = await asyncio.open_connection("127.0.0.1", service.wyoming_port)
        writer.write(b'{"type": "audio-start"}\n')
        received = b""
        async with asyncio.timeout(5):
            while b"no event for 0.4 s" not in received:
                writer.write(b'{"type": "ping"}\n')
                received += await reader.read(1000)
                await asyncio.sleep(0.02)
        writer.close()
        await service.until_free()
        assert b'"pong"' in received


async def test_the_silence_that_a_realtime_client_sets_reaches_the_engine() -> None:
    engine = ScriptedEngine(1)
    async with serving(engine) as service:
        url = f"ws://127.0.0.1:{service.port}/v1/realtime?intent=transcription"
        turns = {"type": "server_vad", "silence_duration_ms": 480}
        session = {"type": "transcription", "audio": {"input": {"turn_detection": turns}}}
        async with connect(url) as connection, asyncio.timeout(5):
            await connection.recv()
            await connection.send(json.dumps({"type": "session.update", "session": session}))
            updated = json.loads(await connection.recv())
            assert (
                updated["session"]["audio"]["input"]["turn_detection"]["silence_duration_ms"] == 480
            )
            while not engine.silences:
                await asyncio.sleep(0.01)
    assert list(engine.silences.values()) == [0.48]
