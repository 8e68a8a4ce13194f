from __future__ import annotations

import asyncio
import struct

from tests.server.scripted import (
    UPGRADE,
    ScriptedEngine,
    Service,
    serving,
)

MASK = b"\x37\xfa\x21\x3d"


STREAM = "/asr/v0.1/stream"


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


async def test_fragments_and_pings_between_them_are_one_message() -> None:
    async with serving(ScriptedEngine(1), close_seconds=0.2) as service:
        end = [
            frame(0x02, bytes(1000)),
            frame(0x89, b"x"),
            frame(0x80, bytes(920)),
            frame(0x82, b""),
        ]
        assert await close_code(service, *end) == 1000
