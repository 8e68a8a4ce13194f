"""Calls from end to end: a telephone system at one end, those who watch at the other."""

from __future__ import annotations

import asyncio
import json

import pytest
from websockets.asyncio.client import connect

from server.live import watch
from tests.server.adapters.telephony.twilio_messages import media, message, start
from tests.server.http.asking import code
from tests.server.scripted import ScriptedEngine, Service, serving


async def lines_of(service: Service, call_id: str, method: str = "GET") -> list[str]:
    """Return the head and the lines that a watcher gets, up to the end of the call."""
    reader, writer = await asyncio.open_connection("127.0.0.1", service.port)
    writer.write(
        f"{method} /calls/{call_id} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode()
    )
    async with asyncio.timeout(10):
        received = await reader.read()
    writer.close()
    return received.decode().split("\r\n")


def events(lines: list[str]) -> list[dict[str, object]]:
    return [json.loads(line[6:].strip()) for line in lines if line.startswith("data: ")]


@pytest.mark.parametrize("stops", [True, False])
async def test_the_rest_of_the_text_reaches_those_who_watch_however_a_call_ends(
    stops: bool,
) -> None:
    async with serving(ScriptedEngine(1, lambda *_: " a")) as service:
        watching = asyncio.create_task(lines_of(service, "CA1f"))
        async with connect(f"ws://127.0.0.1:{service.port}/twilio") as twilio:
            await twilio.send(start())
            for _ in range(10):
                await twilio.send(media(0.02))
            if stops:
                await twilio.send(message("stop"))
                async for _ in twilio:
                    pass
        lines = await watching
        await service.until_free()
    assert code(lines[0]) == 200 and "Content-Type: text/event-stream" in lines
    begin, *said, end = events(lines)
    assert begin == {"event": "start", "call": "CA1f"}
    assert said[-1]["is_final"] and str(said[-1]["text"]).startswith("a a")
    assert end == {"event": "end", "call": "CA1f"}


async def test_head_gets_the_headers_of_a_call_and_no_text() -> None:
    async with serving(ScriptedEngine(1, lambda *_: " a")) as service:
        async with connect(f"ws://127.0.0.1:{service.port}/twilio") as twilio:
            await twilio.send(start())
            await twilio.send(media(0.2))
            lines = await lines_of(service, "CA1f", "HEAD")
        await service.until_free()
    assert code(lines[0]) == 200 and "Content-Type: text/event-stream" in lines
    assert lines[-2:] == ["", ""]


async def test_a_call_that_does_not_come_is_not_found() -> None:
    async with serving(ScriptedEngine(1), idle_seconds=0.2) as service:
        lines = await lines_of(service, "CA%2F1")
        assert code(lines[0]) == 404 and "'CA/1'" in lines[-1]


async def test_a_silent_call_shows_that_the_connection_works(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(watch, "QUIET_SECONDS", 0.05)
    async with serving(ScriptedEngine(1, lambda *_: " a")) as service:
        watching = asyncio.create_task(lines_of(service, "lobby"))
        async with connect(f"ws://127.0.0.1:{service.port}/asterisk?call=lobby") as asterisk:
            await asterisk.send("MEDIA_START format:slin16")
            await asterisk.send(bytes(2 * 1920))
            await asyncio.sleep(0.3)
        lines = await watching
        await service.until_free()
    assert any(line.startswith(":") for line in lines)
    assert events(lines)[-1]["event"] == "end"
