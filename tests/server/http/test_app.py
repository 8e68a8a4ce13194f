"""The server over real sockets: raw ones where bytes count, the `websockets` client elsewhere."""

from __future__ import annotations

import asyncio
import logging

import numpy as np
import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

from server.adapters.myrtle_messages import SUBPROTOCOL
from server.client.stream import stream_audio
from server.engine.models import Models
from server.http.app import AddressError, Application
from server.limits import Limits
from stream.engine.engine import Engine, Result, load_engine
from stream.recogniser import Recogniser
from tests.server.scripted import (
    QUERY,
    UPGRADE,
    ScriptedEngine,
    Service,
    checksum,
    model_of,
    pcm,
    samples_of,
    serving,
    talking_network,
)

MASK = b"\x37\xfa\x21\x3d"
PATH = "/asr/v0.1/stream"


def masked(payload: bytes) -> bytes:
    return MASK + bytes(byte ^ MASK[i % 4] for i, byte in enumerate(payload))


def engine(slots: int = 4) -> Engine:
    return load_engine(talking_network(), slots, "numpy")


def text_alone(audio: bytes) -> str:
    """Return what the recogniser says without a server."""
    return Recogniser(talking_network()).transcribe(samples_of(audio))[0]


async def read_all(connection: ClientConnection) -> tuple[list[str], ConnectionClosed]:
    """Return all messages until the Close, and the Close."""
    messages = []
    while True:
        try:
            async with asyncio.timeout(5):
                messages.append(str(await connection.recv()))
        except ConnectionClosed as closed:
            return messages, closed


def text_of(messages: list[str]) -> str:
    return "".join(message.split('"transcript":"')[1].split('"')[0] for message in messages)


def code_and_reason(closed: ConnectionClosed) -> tuple[int, str]:
    assert closed.rcvd is not None
    return closed.rcvd.code, closed.rcvd.reason


async def open_raw(service: Service) -> tuple[asyncio.StreamReader, asyncio.StreamWriter, bytes]:
    """Send the bytes of a real client's request; returns the connection and the answer's head."""
    reader, writer = await asyncio.open_connection("127.0.0.1", service.port)
    host = f"127.0.0.1:{service.port}"
    writer.write(
        f"GET {PATH}?{QUERY} HTTP/1.1\r\n"
        "Upgrade: websocket\r\n"
        f"Host: {host}\r\n"
        f"Origin: http://{host}\r\n"
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
        "Sec-WebSocket-Version: 13\r\n"
        "Connection: Upgrade\r\n\r\n".encode()
    )
    return reader, writer, await reader.readuntil(b"\r\n\r\n")


async def test_a_session_of_three_chunks_byte_by_byte() -> None:
    words = {2: " hello", -1: " world"}
    async with serving(ScriptedEngine(1, lambda chunk, _: words.get(chunk, ""))) as service:
        reader, writer, head = await open_raw(service)
        assert head.startswith(b"HTTP/1.1 101 Switching Protocols\r\n")
        assert b"Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n" in head
        assert b"Sec-WebSocket-Protocol" not in head
        assert b"Sec-WebSocket-Extensions" not in head
        chunk = bytes.fromhex("82fe0780") + masked(pcm(0.06))
        end = bytes.fromhex("8280") + MASK
        for sent, header, start, finish, text in [
            (chunk, "8163", b"0.0", b"0.06", b""),
            (chunk, "8164", b"0.06", b"0.12", b""),
            (chunk, "816a", b"0.12", b"0.18", b" hello"),
            (end, "816a", b"0.18", b"0.18", b" world"),
        ]:
            writer.write(sent)
            expected = bytes.fromhex(header) + (
                b'{"start":%b,"end":%b,"is_provisional":false,'
                b'"alternatives":[{"transcript":"%b","confidence":1.0}]}'
            ) % (start, finish, text)
            assert await reader.readexactly(len(expected)) == expected
        assert await reader.readexactly(4) == bytes.fromhex("880203e8")
        writer.write(bytes.fromhex("8882") + masked(b"\x03\xe8"))
        assert await reader.read() == b""
        writer.close()


async def test_myrtle_lockstep_one_message_per_60ms() -> None:
    audio = pcm(1.2)
    async with serving(engine()) as service, connect(service.url) as connection:
        messages = []
        for start in range(0, len(audio), 1920):
            await connection.send(audio[start : start + 1920])
            async with asyncio.timeout(5):
                messages.append(str(await connection.recv()))
        await connection.send(b"")
        rest, closed = await read_all(connection)
    assert len(messages) == 20
    assert len(rest) == 1
    assert code_and_reason(closed) == (1000, "")
    assert text_of(messages + rest).strip() == text_alone(audio) != ""


@pytest.mark.parametrize("size", [1, 961, 1919, 1921, 100_000])
async def test_messages_of_any_size_give_the_same_text_and_as_many_responses(size: int) -> None:
    audio = pcm(0.5)
    async with serving(engine()) as service, connect(service.url) as connection:
        for start in range(0, len(audio), size):
            await connection.send(audio[start : start + size])
        await connection.send(b"")
        messages, closed = await read_all(connection)
    assert len(messages) == len(audio) // 1920 + 1
    assert text_of(messages).strip() == text_alone(audio) != ""
    assert code_and_reason(closed) == (1000, "")


async def test_streams_at_a_time_say_what_each_says_alone() -> None:
    audio = [pcm(1.0 + 0.13 * seed, seed) for seed in range(4)]
    async with serving(engine()) as service:
        sessions = await asyncio.gather(
            *(stream_audio(service.url, [samples_of(each)], realtime=False) for each in audio)
        )
    assert [session.transcript for session in sessions] == [text_alone(each) for each in audio]


async def test_a_fast_upload_is_paced_and_loses_nothing() -> None:
    audio = pcm(20.0)
    said = ScriptedEngine(1, lambda n, x: "" if n < 0 else checksum(n, x))
    async with serving(said, unanswered_bytes=4000, message_bytes=9000) as service:
        session = await stream_audio(service.url, [samples_of(audio)], realtime=False)
    parts = samples_of(audio)[: 333 * 960].reshape(-1, 960)
    assert session.transcript.split() == [checksum(0, part).strip() for part in parts]


async def test_myrtle_eos_then_close_1000() -> None:
    async with serving(engine()) as service, connect(service.url) as connection:
        await connection.send(b"")
        messages, closed = await read_all(connection)
    assert messages == [
        '{"start":0.0,"end":0.0,"is_provisional":false,'
        '"alternatives":[{"transcript":"","confidence":1.0}]}'
    ]
    assert code_and_reason(closed) == (1000, "")


async def test_an_odd_number_of_bytes_keeps_the_text_and_closes_with_1008() -> None:
    audio = pcm(0.5)
    async with serving(engine()) as service, connect(service.url) as connection:
        await connection.send(audio + b"\x01")
        await connection.send(b"")
        messages, closed = await read_all(connection)
    assert text_of(messages).strip() == text_alone(audio)
    code, reason = code_and_reason(closed)
    assert code == 1008
    assert reason.startswith("400 the audio ends within a 16-bit sample")


async def test_a_text_message_closes_with_1003_and_frees_the_slot() -> None:
    async with serving(engine()) as service:
        async with connect(service.url) as connection:
            await connection.send('{"config": {}}')
            messages, closed = await read_all(connection)
        assert messages == []
        assert code_and_reason(closed)[0] == 1003
        await service.until_free()


async def test_a_message_over_the_limit_closes_with_1009_and_frees_the_slot() -> None:
    async with serving(engine(), message_bytes=4000) as service:
        async with connect(service.url) as connection:
            await connection.send(bytes(4001))
            _, closed = await read_all(connection)
        assert closed.rcvd is not None
        assert closed.rcvd.code == 1009
        await service.until_free()


@pytest.mark.parametrize(
    "target, status, text",
    [
        (f"{PATH}?content_type=audio/x-raw;format=S16LE;channels=1;rate=8000", 400, "rate '8000'"),
        (f"{PATH}?content_type=audio/wav", 400, "content_type is 'audio/wav'"),
        (f"{PATH}?model=%00%0a%ff", 400, r"model is '\x00\n"),
        ("/", 404, "streams are at /asr/v0.1/stream"),
    ],
)
async def test_a_bad_request_is_refused_before_the_upgrade(
    target: str, status: int, text: str
) -> None:
    async with serving(ScriptedEngine(4)) as service:
        got, body = await service.get(target, *UPGRADE)
    assert got == status
    assert text in body


async def test_a_full_server_answers_503_and_serves_again_when_a_client_leaves() -> None:
    async with serving(ScriptedEngine(1), slots=1) as service:
        async with connect(service.url):
            with pytest.raises(InvalidStatus) as refused:
                await connect(service.url)
            assert refused.value.response.status_code == 503
            assert refused.value.response.body == b"all 1 channels are in use\n"
            assert await service.get("/readyz") == (503, "all 1 channels are in use\n")
            assert await service.get("/healthz") == (200, "ok\n")
        await service.until_free()
        assert await service.get("/readyz") == (200, "ready\n")
        async with connect(service.url):
            pass


async def test_a_server_that_loads_its_model_lives_but_is_not_ready() -> None:
    models = Models(model_of(ScriptedEngine(1), 1))
    async with Application(models, Limits()).listening("127.0.0.1", 0) as servers:
        service = Service([servers[0].sockets[0].getsockname()[1]], models)
        assert await service.get("/healthz") == (200, "ok\n")
        assert await service.get("/readyz") == (503, "the model is being loaded\n")
        assert (await service.get(f"{PATH}?{QUERY}", *UPGRADE))[0] == 503


async def test_clients_that_vanish_free_their_slots() -> None:
    async with serving(ScriptedEngine(4)) as service:
        for _ in range(3):
            writers = []
            for _ in range(4):
                _, writer, head = await open_raw(service)
                assert b" 101 " in head
                writer.write(bytes.fromhex("82fe0780") + masked(pcm(0.06))[:700])
                writers.append(writer)
            assert service.channels.in_use == 4
            for writer in writers:
                writer.transport.abort()
            await service.until_free()


async def test_a_request_that_is_no_upgrade_takes_no_slot() -> None:
    async with serving(ScriptedEngine(1)) as service:
        for _ in range(3):
            assert (await service.get(f"{PATH}?{QUERY}"))[0] == 426
        await service.until_free()


async def test_rubbish_instead_of_http_or_frames_leaves_the_server_as_it_was() -> None:
    rng = np.random.default_rng(0)
    logging.getLogger("websockets").setLevel(logging.CRITICAL)
    async with serving(ScriptedEngine(2), slots=2) as service:
        for _ in range(20):
            _, writer = await asyncio.open_connection("127.0.0.1", service.port)
            writer.write(rng.bytes(200) + b"\r\n\r\n")
            writer.close()
            _, writer, _ = await open_raw(service)
            writer.write(rng.bytes(200))
            writer.close()
            await service.until_free()
        assert await service.get("/readyz") == (200, "ready\n")


async def test_the_subprotocol_is_echoed_if_it_is_offered() -> None:
    async with serving(ScriptedEngine(4)) as service:
        async with connect(service.url, subprotocols=[SUBPROTOCOL, "other"]) as connection:  # type: ignore[list-item]
            assert connection.subprotocol == SUBPROTOCOL
        async with connect(service.url, subprotocols=["other"]) as connection:  # type: ignore[list-item]
            assert connection.subprotocol is None


async def test_an_idle_stream_is_closed_and_a_busy_one_is_not() -> None:
    async with serving(ScriptedEngine(1), idle_seconds=0.5) as service:
        async with connect(service.url) as connection:
            for _ in range(5):
                await connection.send(pcm(0.06))
                await asyncio.sleep(0.15)
            messages, closed = await read_all(connection)
        assert len(messages) == 6  # with the closing result
        assert code_and_reason(closed)[0] == 1008
        await service.until_free()


async def test_a_client_that_never_reads_is_closed_in_bounded_memory() -> None:
    answered = []

    def say(chunk: int, samples: object) -> str:
        answered.append(chunk)
        return "x" * 10_000

    limits = {"stall_seconds": 0.3, "close_seconds": 0.3, "audio_rate": float("inf")}
    async with serving(ScriptedEngine(1, say), **limits) as service:
        _, writer, _ = await open_raw(service)
        writer.transport.pause_reading()  # type: ignore[attr-defined]
        chunk = bytes.fromhex("82fe0780") + masked(pcm(0.06))
        with pytest.raises(ConnectionError):
            async with asyncio.timeout(10):
                while True:
                    writer.write(chunk)
                    await writer.drain()
                    await asyncio.sleep(0)
        await service.until_free()
    assert len(answered) < 2000  # what the buffers of two sockets and 10 s of audio make


class Fails(ScriptedEngine):
    def tick(self) -> list[Result]:
        if self.pending():
            raise RuntimeError("out of memory")
        return []


async def test_an_engine_that_fails_closes_with_1011_and_the_server_says_that_it_is_lost(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.CRITICAL)
    async with serving(Fails(1)) as service:
        for _ in range(3):
            async with connect(service.url) as connection:
                await connection.send(pcm(0.06))
                _, closed = await read_all(connection)
            assert code_and_reason(closed) == (1011, "a step of the engine failed: out of memory")
            await service.until_free()
        for path in ("/readyz", "/healthz"):  # an orchestrator starts it anew
            assert await service.get(path) == (503, "the engine is broken: out of memory\n")
        assert (await service.get("/model"))[0] == 200


async def test_leaving_finishes_streams_and_ends_those_that_take_too_long() -> None:
    async def client(url: str, opened: asyncio.Event, ends: bool) -> tuple[str, tuple[int, str]]:
        async with connect(url) as connection:
            await connection.send(audio[: len(audio) // 2])
            opened.set()
            await asyncio.sleep(0.1)
            await connection.send(audio[len(audio) // 2 :])
            if ends:
                await connection.send(b"")
            messages, closed = await read_all(connection)
            return text_of(messages).strip(), code_and_reason(closed)

    audio = pcm(0.7)
    opened = [asyncio.Event(), asyncio.Event()]
    async with serving(engine(), drain_seconds=1.5) as service:
        ending = asyncio.create_task(client(service.url, opened[0], True))
        endless = asyncio.create_task(client(service.url, opened[1], False))
        for event in opened:
            await event.wait()
    assert await ending == (text_alone(audio), (1000, ""))
    assert await endless == (text_alone(audio), (1001, "the server is shutting down"))


async def test_a_port_that_is_taken_is_named() -> None:
    async with serving(ScriptedEngine(1)) as service:
        application = Application(Models(model_of(ScriptedEngine(1), 1)), Limits())
        with pytest.raises(AddressError, match=f"cannot listen on 127.0.0.1:{service.port}"):
            async with application.listening("127.0.0.1", service.port):
                pass
