from __future__ import annotations

import asyncio
import json

import pytest
from websockets.asyncio.client import connect
from websockets.typing import Subprotocol

from server.adapters.vosk import Vosk
from server.protocol.stream import StreamProtocol
from tests.server.http.asking import STREAM, code, exchange
from tests.server.scripted import (
    UPGRADE,
    ScriptedEngine,
    serving,
)


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


async def test_a_dialect_that_fails_at_its_beginning_gives_the_slot_back(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def fail(self: Vosk, stream: StreamProtocol) -> None:
        raise ValueError("at the beginning")

    monkeypatch.setattr(Vosk, "begin", fail)
    async with serving(ScriptedEngine(1)) as service:
        got, _ = await exchange(service, "GET /vosk HTTP/1.1", "Host: x", *UPGRADE)
        assert code(got) == 500
        await service.until_free()


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
            while b"no message for 0.4 s" not in received:
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


async def test_a_browser_at_deepgrams_path_gets_its_subprotocol_and_the_request_id() -> None:
    async with serving(ScriptedEngine(1)) as service:
        url = f"ws://127.0.0.1:{service.port}/v1/listen?encoding=mulaw"
        offered = [Subprotocol("token"), Subprotocol("key")]
        async with connect(url, subprotocols=offered) as connection:
            assert connection.subprotocol == "token"
            assert connection.response is not None
            headers = connection.response.headers
            assert headers["dg-request-id"] == headers["x-request-id"]
        await service.until_free()
