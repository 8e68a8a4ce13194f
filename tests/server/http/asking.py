"""What tests of HTTP share: requests line by line, frames of a websocket, and lines of the log."""

from __future__ import annotations

import asyncio
import struct
from typing import Any

import pytest

from tests.server.scripted import UPGRADE, Service

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


MASK = b"\x37\xfa\x21\x3d"


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
