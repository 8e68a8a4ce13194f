"""Recordings that are bodies themselves, at Deepgram's endpoint."""

from __future__ import annotations

import asyncio
import hashlib
import json

import pytest

from tests.server.scripted import ScriptedEngine, Service, pcm, request, serving, wav

LISTEN = "/v1/listen"


async def status_and_error(service: Service, body: bytes, **headers: str) -> tuple[int, str]:
    reply = await request(service, "POST", LISTEN, body, **headers)
    return reply.status, reply.json["err_msg"]


async def test_a_recording_is_answered_with_its_text_and_its_digest() -> None:
    recording = wav(pcm(0.3))
    async with serving(ScriptedEngine(1, lambda *_: " a")) as service:
        reply = await request(service, "POST", LISTEN, recording, Content_Type="audio/wav")
        await service.until_free()
    assert reply.status == 200
    answer = json.loads(reply.body)
    assert answer["results"]["channels"][0]["alternatives"][0]["transcript"].startswith("a a")
    assert answer["metadata"]["sha256"] == hashlib.sha256(recording).hexdigest()
    assert answer["metadata"]["request_id"] == reply.headers["dg-request-id"]


@pytest.mark.parametrize(
    "body, headers, status, text",
    [
        (b"", {}, 400, "recording: is empty"),
        (b"no audio at all", {}, 415, "recording: is not in a format"),
        (b'{"url": "http://10.0.0.1/"}', {"Content_Type": "application/json"}, 400, "no addresses"),
        (b"x", {"Content_Encoding": "gzip"}, 415, "Content-Encoding 'gzip'"),
        (bytes(5001), {}, 413, "over 5000 bytes"),
    ],
)
async def test_a_body_that_is_no_recording_is_refused_and_the_slot_is_free(
    body: bytes, headers: dict[str, str], status: int, text: str
) -> None:
    async with serving(ScriptedEngine(1), slots=1, upload_bytes=5000) as service:
        got, said = await status_and_error(service, body, **headers)
        await service.until_free()
    assert got == status and text in said


async def test_a_body_that_stops_is_refused_and_the_slot_is_free() -> None:
    async with serving(ScriptedEngine(1), slots=1, idle_seconds=0.2) as service:
        reader, writer = await asyncio.open_connection("127.0.0.1", service.port)
        writer.write(f"POST {LISTEN} HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\nRIFF".encode())
        async with asyncio.timeout(5):
            head = await reader.readuntil(b"\r\n\r\n")
        writer.close()
        await service.until_free()
    assert b" 408 " in head


async def test_without_a_free_slot_the_body_is_refused() -> None:
    async with serving(ScriptedEngine(1), slots=1) as service:
        reader, writer = await asyncio.open_connection("127.0.0.1", service.port)
        writer.write(f"POST {LISTEN} HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\n".encode())
        async with asyncio.timeout(5):
            while (await status_and_error(service, b""))[0] != 503:  # until that one has the slot
                pass
        status, text = await status_and_error(service, wav(pcm(0.1)))
        writer.close()
        await service.until_free()
    assert (status, text) == (503, "all 1 channels are in use")
