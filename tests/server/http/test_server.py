from __future__ import annotations

import asyncio
import logging

import pytest

from tests.server.http.asking import close_code, frame, lines
from tests.server.scripted import (
    ScriptedEngine,
    serving,
)


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
