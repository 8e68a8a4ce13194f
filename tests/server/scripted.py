"""What the tests of the server share: an engine that says what it is told, real audio of noise, a
network that talks, and a server of either on the test's own event loop."""

from __future__ import annotations

import asyncio
import functools
import http.client
import io
import json
import os
import socket
import threading
import wave
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from server.engine.models import Model, Models
from server.engine.process import Start
from server.engine.worker import Loaded, work
from server.http.app import Application, Settings
from server.limits import Limits
from server.tokens.file import Token, digest
from server.tokens.keyring import Keyring
from stream.encoders.lstm import LSTM
from stream.engine.engine import Engine, Result
from stream.model.network import Network
from stream.stage import Samples
from tests.tiny import tiny_network

CHUNK = LSTM.chunk_samples

QUERY = "content_type=audio/x-raw;format=S16LE;channels=1;rate=16000"
Say = Callable[[int, NDArray[np.float32]], str]


class ScriptedEngine:
    """An engine whose text is a function of the number and the samples of a chunk.

    Args:
        slots: of channels.
        say: from the number of a chunk, from 0, and its samples (960,), to its text; for the
            closing result from -1 and what was left.
    """

    def __init__(self, slots: int, say: Say = lambda chunk, samples: "") -> None:
        self._say = say
        self.chunk_samples = CHUNK
        self._free = list(range(slots))
        self._waiting: dict[int, NDArray[np.float32]] = {}
        self._chunks: dict[int, int] = {}
        self._finishing: set[int] = set()
        self.closed: list[int] = []
        self.keywords: list[Mapping[str, float] | None] = []  # of each channel that was opened
        self.silences: dict[int, float | None] = {}  # that end utterances, where a client says so

    def open(self, keywords: Mapping[str, float] | None = None) -> int | None:
        self.keywords.append(keywords)
        if not self._free:
            return None
        slot = self._free.pop()
        self._waiting[slot] = np.zeros(0, np.float32)
        self._chunks[slot] = 0
        return slot

    def push(self, slot: int, samples: Samples, /) -> None:
        if samples.dtype == np.int16:
            samples = samples / np.float32(32768)
        self._waiting[slot] = np.concatenate([self._waiting[slot], samples])

    def push_chunks(self, slots: Sequence[int], samples: Samples, /) -> None:
        for slot, chunk in zip(slots, samples, strict=True):
            self.push(slot, chunk)

    def finish(self, slot: int, /) -> None:
        self._finishing.add(slot)

    def restart(self, slot: int, *, keep_statistics: bool) -> None:
        self._waiting[slot] = np.zeros(0, np.float32)
        self._chunks[slot] = 0

    def end_after(self, slot: int, silence: float | None, /) -> None:
        self.silences[slot] = silence

    def close(self, slot: int, /) -> None:
        self._free.append(slot)
        self.closed.append(slot)
        self._finishing.discard(slot)
        del self._waiting[slot], self._chunks[slot]

    def pending(self) -> bool:
        return bool(self._finishing) or any(len(x) >= CHUNK for x in self._waiting.values())

    def tick(self) -> list[Result]:
        results = []
        for slot, samples in self._waiting.items():
            chunk = self._chunks[slot]
            if len(samples) >= CHUNK:
                text = self._say(chunk, samples[:CHUNK])
                results.append(Result(slot, 0.06 * chunk, 0.06 * (chunk + 1), text, (), last=False))
                self._waiting[slot] = samples[CHUNK:]
                self._chunks[slot] += 1
            elif slot in self._finishing:
                text = self._say(-1, samples)
                results.append(Result(slot, 0.06 * chunk, 0.06 * chunk, text, (), last=True))
                self._finishing.discard(slot)
        return results


def checksum(chunk: int, samples: NDArray[np.float32]) -> str:
    """Return a word that tells one chunk from any other; for `ScriptedEngine`."""
    return f" {hash(samples.tobytes()) % 1000:03d}"


def pcm(seconds: float, seed: int = 0) -> bytes:
    """Return noise of changing loudness as S16LE."""
    count = int(16000 * seconds)
    loudness = np.abs(np.sin(np.arange(count) / 3000)) * 3000
    noise = np.random.default_rng(seed).normal(0.0, 1.0, count) * loudness
    return bytes(np.rint(noise).clip(-32768, 32767).astype("<i2").tobytes())


def samples_of(audio: bytes) -> NDArray[np.float32]:
    """Return S16LE as the engine gets it."""
    return np.frombuffer(audio, "<i2").astype(np.float32) / np.float32(32768)


@functools.cache
def talking_network() -> Network:
    """Return a random network that says something varied, now and then, about noise."""
    network = tiny_network(11)
    arrays = {name: array.copy() for name, array in network.arrays.items()}
    arrays["joint.output.weight"] *= 4
    arrays["joint.output.bias"][-1] += 2
    return Network(network.specification, arrays, network.tokenizer, network.notes)


class Owner:
    """An owner of channels who keeps their faults, and no results."""

    def __init__(self) -> None:
        self.faults: list[str] = []

    def receive_result(self, result: Result) -> None:
        """Keep nothing."""

    def receive_fault(self, reason: str) -> None:
        self.faults.append(reason)


def keyring(*secrets: str, **limits: Any) -> Keyring:
    """Return a keyring of tokens named token-1, token-2 ..., each with these limits."""
    return Keyring(
        {
            f"token-{n}": Token(sha256=digest(secret), **limits)
            for n, secret in enumerate(secrets, 1)
        }
    )


class Service:
    """A server on the test's event loop."""

    def __init__(self, ports: list[int], models: Models) -> None:
        self.port = ports[0]
        self.wyoming_port = ports[-1]
        self.channels = next(iter(models.values())).channels
        self.url = f"ws://127.0.0.1:{self.port}/asr/v0.1/stream?{QUERY}"

    async def until_free(self) -> None:
        """Wait until no channel is in use."""
        async with asyncio.timeout(5):
            while self.channels.in_use:
                await asyncio.sleep(0.01)

    async def get(self, target: str, *headers: str) -> tuple[int, str]:
        """Return status and body of a GET."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        last = (
            ()
            if any(header.startswith("Connection") for header in headers)
            else ("Connection: close",)
        )
        lines = [f"GET {target} HTTP/1.1", "Host: localhost", *headers, *last, "", ""]
        writer.write("\r\n".join(lines).encode())
        async with asyncio.timeout(5):
            head, _, body = (await reader.read()).partition(b"\r\n\r\n")
        writer.close()
        return int(head.split()[1]), body.decode()


@dataclass(frozen=True)
class Reply:
    """What an HTTP server answered."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


async def request(
    service: Service,
    method: str,
    target: str,
    body: bytes | None = None,
    **headers: str,
) -> Reply:
    """Send a request with the standard library's client; underscores in headers are dashes."""

    def send() -> Reply:
        connection = http.client.HTTPConnection("127.0.0.1", service.port, timeout=10)
        try:
            named = {name.replace("_", "-"): value for name, value in headers.items()}
            connection.request(method, target, body, named)
            answer = connection.getresponse()
            return Reply(answer.status, dict(answer.getheaders()), answer.read())
        finally:
            connection.close()

    return await asyncio.to_thread(send)


def form(file: bytes | None, name: str = "file", **fields: str) -> tuple[bytes, str]:
    """Return a multipart body with a recording and fields, and its content type."""
    parts = [
        f'--XX\r\nContent-Disposition: form-data; name="{key}"\r\n\r\n{value}\r\n'.encode()
        for key, value in fields.items()
    ]
    if file is not None:
        head = f'--XX\r\nContent-Disposition: form-data; name="{name}"; filename="a b.wav"\r\n\r\n'
        parts.append(head.encode() + file + b"\r\n")
    return b"".join(parts) + b"--XX--\r\n", "multipart/form-data; boundary=XX"


def wav(audio: bytes) -> bytes:
    """Return S16LE as a WAV file."""
    file = io.BytesIO()
    with wave.open(file, "wb") as writer:
        writer.setnchannels(1)
        writer.setsampwidth(2)
        writer.setframerate(16000)
        writer.writeframes(audio)
    return file.getvalue()


UPGRADE = (
    "Upgrade: websocket",
    "Connection: Upgrade",
    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
    "Sec-WebSocket-Version: 13",
)


class Thread:
    """A worker in a thread of the test's own process, so that the test sees its engine."""

    pid = os.getpid()

    def __init__(self, link: socket.socket, load: Callable[[], Loaded]) -> None:
        self._thread = threading.Thread(target=work, args=(link, load))
        self._thread.start()

    def kill(self) -> None:
        """Do nothing: a thread cannot be killed."""

    def end(self) -> str:
        self._thread.join()
        return "a thread"


def in_thread(load: Callable[[], Loaded]) -> Start:
    """Return what starts a worker in a thread; else it is as `server.engine.process.in_process`."""
    return lambda link, before: Thread(link, load)


def model_of(engine: Engine, slots: int, name: str = "general") -> Model:
    """Return a model that spells what the talking network does."""
    loaded = Loaded(engine, slots, talking_network().vocabulary.alphabet, {"language": "en"})
    return Model(name, in_thread(lambda: loaded))


@asynccontextmanager
async def serving(
    engine: Engine,
    *others: Model,
    slots: int = 4,
    settings: Settings | None = None,
    wyoming_port: int | None = None,
    **limits: Any,
) -> AsyncIterator[Service]:
    """Run a server with an engine, and further models; `limits` are fields of `Limits`."""
    granted = Limits(**{"drain_seconds": 0.5, **limits})
    models = Models(model_of(engine, slots), *others)
    await models.start()
    try:
        application = Application(models, granted, settings)
        async with application.listening("127.0.0.1", 0, wyoming_port) as servers:
            ports = [server.sockets[0].getsockname()[1] for server in servers]
            yield Service(ports, models)
    finally:
        await models.stop()
