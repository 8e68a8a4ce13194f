"""Flow control of live streams: whatever is sent at once, and whoever vanishes, in every protocol."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
import socket
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from stream.engine.engine import Result
from tests.server.end_to_end.test_faults import frame, open_socket, upgrade
from tests.server.scripted import ScriptedEngine, Service, serving

# A second may be unanswered; two may come at once, and 400 in each further one.
LIMITS: dict[str, Any] = {"unanswered_bytes": 32_000, "burst_seconds": 2.0, "audio_rate": 400.0}


@dataclass(frozen=True)
class Spoken:
    """What a client of a protocol sends, and by what it knows that it was answered.

    Attributes:
        path: of the websocket; None: it is Wyoming.
        audio: from seconds of audio, in order, to messages.
        end: that ends the stream.
        answer: in the last message; "" where it is the Close.
    """

    path: str | None
    audio: Callable[[float], bytes | str]
    end: bytes | str
    answer: str


def wyoming_chunk(seconds: float) -> bytes:
    audio = bytes(2 * round(16000 * seconds))
    head = {"type": "audio-chunk", "data": {"rate": 16000}, "payload_length": len(audio)}
    return json.dumps(head).encode() + b"\n" + audio


def realtime_chunk(seconds: float) -> str:
    audio = base64.b64encode(bytes(2 * round(24000 * seconds))).decode()
    return json.dumps({"type": "input_audio_buffer.append", "audio": audio})


PROTOCOLS = {
    "myrtle": Spoken("/asr/v0.1/stream", lambda s: bytes(2 * round(16000 * s)), b"", ""),
    "sherpa": Spoken("/sherpa", lambda s: bytes(4 * round(16000 * s)), "Done", "Done!"),
    "vosk": Spoken("/vosk", lambda s: bytes(2 * round(8000 * s)), '{"eof" : 1}', ""),
    "realtime": Spoken(
        "/v1/realtime", realtime_chunk, '{"type": "input_audio_buffer.commit"}', ".completed"
    ),
    "wyoming": Spoken(None, wyoming_chunk, b'{"type": "audio-stop"}\n', '"transcript"'),
}


class Client:
    """One connection of a client, which reads all the time.

    Attributes:
        said: all that the server said, up to the answer, with the reason of its Close.

    """

    def __init__(self, spoken: Spoken) -> None:
        self._spoken = spoken
        self.said = ""
        self._socket: ClientConnection
        self._writer: asyncio.StreamWriter

    async def open(self, service: Service) -> None:
        if self._spoken.path is None:
            reader, self._writer = await asyncio.open_connection("127.0.0.1", service.wyoming_port)
            self._reading = asyncio.create_task(self._read_lines(reader))
        else:
            url = f"ws://127.0.0.1:{service.port}{self._spoken.path}"
            self._socket = await connect(url, max_size=None)
            self._reading = asyncio.create_task(self._read_messages())

    async def send(self, message: bytes | str) -> None:
        if self._spoken.path is None:
            assert isinstance(message, bytes)
            self._writer.write(message)
            await self._writer.drain()
        else:
            await self._socket.send(message)

    async def answered(self) -> None:
        async with asyncio.timeout(20):
            await self._reading

    async def close(self, abort: bool) -> None:
        """Go without a word; after an abort the server's kernel even forgets what was sent."""
        self._reading.cancel()
        transport = self._writer.transport if self._spoken.path is None else self._socket.transport
        (transport.abort if abort else transport.close)()

    async def _read_lines(self, reader: asyncio.StreamReader) -> None:
        while line := (await reader.readline()).decode():
            self.said += line
            if self._spoken.answer in line:
                return

    async def _read_messages(self) -> None:
        """Read up to the answer, which may be the Close."""
        try:
            while True:
                message = str(await self._socket.recv())
                self.said += message
                if self._spoken.answer and self._spoken.answer in message:
                    return
        except ConnectionClosed as closed:
            self.said += closed.rcvd.reason if closed.rcvd else ""


@pytest.mark.parametrize("name", PROTOCOLS)
@settings(max_examples=20, deadline=None)
@example(messages=[10.0, 10.0], says="", leaves="at the end")
@given(
    messages=st.lists(st.sampled_from([0.06, 0.5, 2.0, 10.0]), min_size=1, max_size=8),
    says=st.sampled_from(["", " word"]),
    leaves=st.sampled_from(["at the end", "before it, closing", "before it, cut"]),
)
def test_what_is_sent_at_once_is_answered_and_who_vanishes_leaves_the_slot(
    name: str, messages: list[float], says: str, leaves: str
) -> None:
    async def converse() -> None:
        engine = ScriptedEngine(1, lambda chunk, samples: says)
        async with serving(engine, slots=1, wyoming_port=0, **LIMITS) as service:
            client = Client(PROTOCOLS[name])
            await client.open(service)
            for seconds in messages:
                await client.send(PROTOCOLS[name].audio(seconds))
            if leaves == "at the end":
                await client.send(PROTOCOLS[name].end)
                await client.answered()
            await client.close(leaves == "before it, cut")
            await service.until_free()

    asyncio.run(converse())


class StoppedEngine(ScriptedEngine):
    """Does not step before it may."""

    def __init__(self) -> None:
        super().__init__(1, lambda chunk, samples: "")
        self.may_step = threading.Event()

    def tick(self) -> list[Result]:
        self.may_step.wait(30)
        return super().tick()


@pytest.fixture
def stopped() -> Iterator[StoppedEngine]:
    engine = StoppedEngine()
    yield engine
    engine.may_step.set()


async def test_a_ping_that_was_read_is_answered_while_no_more_is_read(
    stopped: StoppedEngine,
) -> None:
    async with serving(stopped, slots=1, unanswered_bytes=640) as service:
        reader, writer = await open_socket(service)
        writer.write(frame(bytes(640)) + frame(b"still there?", 0x89))
        async with asyncio.timeout(5):
            assert await reader.readexactly(14) == b"\x8a\x0cstill there?"
        writer.transport.abort()
        stopped.may_step.set()
        await service.until_free()


@pytest.mark.parametrize("path", [PROTOCOLS["sherpa"].path, None])
async def test_little_waits_between_the_server_and_a_client_that_it_does_not_read(
    stopped: StoppedEngine, path: str | None
) -> None:
    def flood(connection: socket.socket, message: bytes) -> int:
        connection.settimeout(0.5)
        sent = 0
        with contextlib.suppress(TimeoutError):
            while sent < 20_000_000:
                sent += connection.send(message)
        return sent

    async with serving(stopped, slots=1, wyoming_port=0, unanswered_bytes=32_000) as service:
        port = service.wyoming_port if path is None else service.port
        with socket.create_connection(("127.0.0.1", port)) as connection:
            message = wyoming_chunk(0.1)
            if path is not None:
                connection.sendall(upgrade(path))
                assert await asyncio.to_thread(connection.recv, 4096)
                message = frame(bytes(6400))
            assert await asyncio.to_thread(flood, connection, message) < 2_500_000
        stopped.may_step.set()
        await service.until_free()


class DyingEngine(ScriptedEngine):
    """Takes its worker with it when it hears something for the first time."""

    died = False

    def pending(self) -> bool:
        if super().pending() and not self.died:
            ScriptedEngine.__init__(self, 1)  # what the next worker begins with
            self.died = True
            raise OSError("the link is broken")
        return super().pending()


@pytest.mark.parametrize("name", PROTOCOLS)
async def test_an_engine_that_dies_closes_its_streams_and_serves_the_next(name: str) -> None:
    async with serving(DyingEngine(1), slots=1, wyoming_port=0) as service:
        for attempt in range(2):
            client = Client(PROTOCOLS[name])
            await client.open(service)
            await client.send(PROTOCOLS[name].audio(1.0))
            await client.send(PROTOCOLS[name].end)
            await client.answered()
            assert ("has ended; try again" in client.said) == (attempt == 0)
            await client.close(abort=False)
            await service.until_free()
            async with asyncio.timeout(10):
                while service.channels.refusal():
                    await asyncio.sleep(0.01)
        assert service.channels.engine.restarts == 1
