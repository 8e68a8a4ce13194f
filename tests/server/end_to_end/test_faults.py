"""What clients may do to a server, on purpose or by accident, beside one that does nothing wrong.

After each: no slot is leaked, memory is bounded, the neighbour's text is what it says alone, and the
server had nothing to say about itself in its log.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import numpy as np
import pytest
from websockets.asyncio.client import connect

from server.client.stream import stream_audio
from stream.engine.engine import Engine, load_engine
from stream.model.directory import write
from stream.recogniser import Recogniser
from tests.server.scripted import (
    QUERY,
    ScriptedEngine,
    Service,
    checksum,
    pcm,
    samples_of,
    serving,
    talking_network,
    wav,
)

CHUNK_BYTES = 1920
HOUR = 3600
MEGABYTE = 1 << 20
PATHS = ("/asr/v0.1/stream", "/sherpa", "/vosk", "/v1/realtime", "/", "/transcribe", "/model")


def engine(slots: int) -> Engine:
    return load_engine(talking_network(), slots, "numpy")


def text_alone(audio: bytes) -> str:
    """Return what the recogniser says without a server."""
    return Recogniser(talking_network()).transcribe(samples_of(audio))[0]


def resident() -> int:
    """Return the bytes of memory that this process has; 0 where the system does not tell."""
    statm = Path("/proc/self/statm")
    return int(statm.read_text().split()[1]) * 4096 if statm.exists() else 0


@pytest.fixture(autouse=True)
def silence(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    """The server does not blame itself for what a client does."""
    yield
    said = [record for record in caplog.get_records("call") if record.levelno >= logging.WARNING]
    assert [record.getMessage() for record in said if record.name.startswith("server")] == []


@asynccontextmanager
async def neighbour(service: Service) -> AsyncIterator[None]:
    """Stream beside what happens meanwhile, then compare the text and look for leaked slots."""
    over = asyncio.Event()
    sent = bytearray()

    async def stream() -> str:
        text = []
        audio = pcm(60.0, seed=5)
        async with connect(service.url) as connection:
            while not over.is_set() and len(sent) < len(audio):
                chunk = audio[len(sent) : len(sent) + CHUNK_BYTES]
                sent.extend(chunk)
                await connection.send(chunk)
                text.append(str(await connection.recv()))
                await asyncio.sleep(0.01)
            await connection.send(b"")
            text += [str(message) async for message in connection]
        return "".join(message.split('"transcript":"')[1].split('"')[0] for message in text)

    task = asyncio.create_task(stream())
    async with asyncio.timeout(5):
        while not service.channels.in_use:
            await asyncio.sleep(0.01)
    try:
        yield
        await asyncio.sleep(0.5)
    finally:
        over.set()
        async with asyncio.timeout(20):
            text = await task
    assert text.strip() == text_alone(bytes(sent)) != ""
    await service.until_free()
    assert await service.get("/readyz") == (200, "ready\n")


async def open_socket(
    service: Service, path: str = PATHS[0]
) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """Open a websocket by hand."""
    reader, writer = await asyncio.open_connection("127.0.0.1", service.port)
    writer.write(upgrade(path))
    head = await reader.readuntil(b"\r\n\r\n")
    assert b" 101 " in head, head
    return reader, writer


def upgrade(path: str) -> bytes:
    return (
        f"GET {path} HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
    ).encode()


def frame(payload: bytes, first: int = 0x82) -> bytes:
    """Return a masked frame; the mask is zero."""
    length = len(payload)
    size = bytes([0x80 | length]) if length < 126 else b"\xfe" + length.to_bytes(2, "big")
    return bytes([first]) + size + bytes(4) + payload


def odd_frame(rng: np.random.Generator) -> bytes:
    """Return bytes that begin like a frame, most of which are none, or make no sense."""
    body = rng.bytes(int(rng.integers(0, 300)))
    match int(rng.integers(8)):
        case 0:
            return body
        case 1:
            return frame(body, int(rng.integers(256)))
        case 2:
            return frame(body, 0x81)
        case 3:
            return frame(b'{"config": {"sample_rate": %d}}' % rng.integers(-9, 10**9), 0x81)
        case 4:
            return b"\x82\xff" + rng.bytes(8) + body  # a length beyond everything
        case 5:
            return frame(body, 0x02) + frame(body, 0x00)  # in fragments, without end
        case 6:
            return frame(rng.bytes(int(rng.integers(126, 4000))))
        case _:
            return frame(body[:125], int(rng.choice([0x88, 0x89, 0x8A])))


async def test_ten_thousand_odd_frames_and_queries() -> None:
    rng = np.random.default_rng(0)
    before = resident()

    async def send_frames(path: str, wire: bytes, cut: bool) -> None:
        reader, writer = await open_socket(service, path)
        writer.write(wire)
        if cut:
            writer.write_eof()
        with contextlib.suppress(ConnectionError, TimeoutError):
            async with asyncio.timeout(0.05):
                await reader.read()
        writer.transport.abort()

    async def answers(wire: bytes) -> int:
        reader, writer = await asyncio.open_connection("127.0.0.1", service.port)
        writer.write(wire)
        async with asyncio.timeout(20):
            answered = await reader.read()
        writer.close()
        return answered.count(b"HTTP/1.1 ")

    async with serving(engine(22), slots=22) as service, neighbour(service):
        for _ in range(25):
            await asyncio.gather(
                *(
                    send_frames(
                        PATHS[number % 4], b"".join(odd_frame(rng) for _ in range(10)), number > 9
                    )
                    for number in range(20)
                )
            )
        for _ in range(50):
            wire = b"".join(odd_request(rng) for _ in range(99))
            last = odd_request(rng).replace(b"Host: x", b"Host: x\r\nConnection: close")
            assert await answers(wire + last) == 100
        for _ in range(100):  # not even HTTP
            assert await answers(rng.bytes(100) + b"\r\n\r\n") <= 1
    assert resident() - before < 100 * MEGABYTE


def odd_request(rng: np.random.Generator) -> bytes:
    """Return a request that is HTTP, and whose query is anything."""
    path = PATHS[int(rng.integers(len(PATHS)))].encode()
    signs = np.frombuffer(b"&=;%?+a0-/\"'<{~token=model=%ff%00", np.uint8)
    query = rng.choice(signs, int(rng.integers(60))).tobytes()
    method = b"POST" if path == b"/transcribe" else b"GET"
    return method + b" " + path + b"?" + query + b" HTTP/1.1\r\nHost: x\r\n\r\n"


async def test_a_client_that_sends_one_byte_at_a_time_is_heard() -> None:
    audio = pcm(0.3, seed=1)
    async with serving(engine(4)) as service, neighbour(service):
        reader, writer = await asyncio.open_connection("127.0.0.1", service.port)
        wire = (
            upgrade(f"{PATHS[0]}?{QUERY}") + frame(audio[:1000]) + frame(audio[1000:]) + frame(b"")
        )
        for position in range(len(wire)):
            writer.write(wire[position : position + 1])
            await asyncio.sleep(0)
        said = (await reader.readuntil(bytes.fromhex("880203e8"))).decode(errors="replace")
        writer.write(frame(b"\x03\xe8", 0x88))
        assert await reader.read() == b""
        writer.close()
    texts = [part.split('"')[0] for part in said.split('"transcript":"')[1:]]
    assert len(texts) == 6
    assert "".join(texts).strip() == text_alone(audio)


async def test_clients_that_never_read_are_closed() -> None:
    before = resident()
    limits = {"slots": 8, "idle_seconds": 2.0, "close_seconds": 0.2}
    async with serving(engine(8), **limits) as service, neighbour(service):

        async def never_reads(path: str) -> None:
            _, writer = await open_socket(service, path)
            writer.transport.pause_reading()  # type: ignore[attr-defined]
            # Pings are answered too. What was read last is an answer that cannot be sent: idle.
            junk = b"".join(frame(bytes(125), 0x89) for _ in range(500))
            with pytest.raises(ConnectionError):
                async with asyncio.timeout(15):
                    while True:
                        writer.write(junk)
                        await writer.drain()
            writer.transport.abort()

        await asyncio.gather(*(never_reads(path) for path in PATHS[:3]))
    assert resident() - before < 100 * MEGABYTE


async def test_two_hundred_clients_that_vanish_at_once() -> None:
    async with serving(engine(201), slots=201) as service, neighbour(service):
        for _ in range(2):
            opened = await asyncio.gather(
                *(open_socket(service, PATHS[number % 3]) for number in range(200))
            )
            assert service.channels.full
            for number, (_, writer) in enumerate(opened):
                writer.write(frame(pcm(0.1, number))[: 40 * number])
            await asyncio.sleep(0.1)
            for _, writer in opened:
                writer.transport.abort()
            async with asyncio.timeout(5):
                while service.channels.in_use > 1:
                    await asyncio.sleep(0.01)


async def test_an_hour_of_audio_at_once_is_answered_in_flat_memory() -> None:
    minute = pcm(60.0)
    said = ScriptedEngine(2, lambda chunk, samples: "" if chunk < 0 else checksum(0, samples))
    parts = samples_of(minute).reshape(-1, 960)
    expected = [checksum(0, part).strip() for part in parts]
    async with serving(said, audio_rate=1e9) as service:
        async with connect(service.url, max_queue=64) as connection:
            before = resident()
            words: list[str] = []

            async def read() -> None:
                async for message in connection:
                    words.extend(str(message).split('"transcript":"')[1].split('"')[0].split())

            reading = asyncio.create_task(read())
            for _ in range(HOUR // 60):
                await connection.send(minute[: MEGABYTE // 2 * 2 - 64])
                await connection.send(minute[MEGABYTE // 2 * 2 - 64 :])
            await connection.send(b"")
            async with asyncio.timeout(60):
                await reading
        assert words == expected * (HOUR // 60)
        assert resident() - before < 60 * MEGABYTE
        await service.until_free()


async def test_an_hour_is_uploaded_in_flat_memory() -> None:
    minute = pcm(60.0)
    head = bytearray(wav(b"")[:44])
    size = HOUR * 32000
    head[4:8], head[40:44] = (size + 36).to_bytes(4, "little"), size.to_bytes(4, "little")
    counted = [0]

    def count(chunk: int, samples: object) -> str:
        counted[0] += chunk >= 0
        return ""

    async with serving(ScriptedEngine(1, count), audio_rate=1e9) as service:
        reader, writer = await asyncio.open_connection("127.0.0.1", service.port)
        before = resident()
        begin = b'--X\r\nContent-Disposition: form-data; name="file"; filename="a"\r\n\r\n'
        writer.write(
            b"POST /transcribe HTTP/1.1\r\nHost: x\r\nConnection: close\r\n"
            b"Content-Type: multipart/form-data; boundary=X\r\n"
            b"Content-Length: %d\r\n\r\n" % (len(begin) + 44 + size + 9)
        )
        writer.write(begin + head)
        for _ in range(HOUR // 60):
            writer.write(minute)
            await writer.drain()
        writer.write(b"\r\n--X--\r\n")
        highest = 0
        answer = asyncio.create_task(reader.read())
        while not answer.done():
            highest = max(highest, resident())
            await asyncio.sleep(0.05)
        assert (await answer).startswith(b"HTTP/1.1 200 ")
        writer.close()
    assert counted == [HOUR * 16000 // 960]
    assert highest - before < 60 * MEGABYTE


CLIENT = """
import asyncio, sys
from websockets.asyncio.client import connect
async def main():
    connections = [await connect(sys.argv[1]) for _ in range(3)]
    print("open", flush=True)
    while True:
        for connection in connections:
            await connection.send(bytes(1000))
        await asyncio.sleep(0.01)
asyncio.run(main())
"""


async def test_a_client_process_that_is_killed_frees_its_slots() -> None:
    async with serving(engine(4)) as service, neighbour(service):
        with subprocess.Popen(
            [sys.executable, "-c", CLIENT, service.url], stdout=subprocess.PIPE
        ) as client:
            assert client.stdout is not None
            await asyncio.to_thread(client.stdout.readline)
            assert service.channels.full
            client.kill()
        async with asyncio.timeout(5):
            while service.channels.in_use > 1:
                await asyncio.sleep(0.01)


def test_sigterm_in_mid_load_finishes_every_stream_and_exits_with_0(tmp_path: Path) -> None:
    write(talking_network(), tmp_path / "model", {})
    flags = ["--model", str(tmp_path / "model"), "--backend", "numpy", "--slots", "20"]
    command = [sys.executable, "-m", "server", "--port", "0", *flags]
    audio = [pcm(1.5 + 0.06 * number, number) for number in range(20)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as server:
        assert server.stdout is not None
        url = server.stdout.readline().decode().strip()

        async def load() -> list[str]:
            streams = [
                asyncio.create_task(stream_audio(f"{url}?{QUERY}", [samples_of(each)]))
                for each in audio
            ]
            await asyncio.sleep(0.8)
            server.send_signal(signal.SIGTERM)
            return [session.transcript for session in await asyncio.gather(*streams)]

        texts = asyncio.run(load())
        assert server.wait(10) == 0
    assert texts == [text_alone(each) for each in audio]
