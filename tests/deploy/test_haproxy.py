"""deploy/haproxy.cfg in front of two servers: what a stream notices of the other server's end.

HAProxy gets a listening socket of this process (fd@N) as its address, so that no port is guessed.
"""

from __future__ import annotations

import asyncio
import os
import re
import shutil
import socket
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack, asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass, field

import msgspec
import pytest
import soundfile
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosedError, InvalidStatus

from server.adapters.myrtle_messages import PATH
from stream.audio import read_audio
from stream.bundled import model_path, recordings
from stream.model.network import open_model
from stream.recogniser import Recogniser
from tests.places import REPOSITORY

CONFIGURATION = REPOSITORY / "deploy" / "haproxy.cfg"
CHUNK_BYTES = 1920  # 60 ms
SLOTS = 4
STOP_SECONDS = 30.0


@pytest.fixture(scope="module")
def haproxy() -> str:
    """The program, which Debian puts where only root looks."""
    found = shutil.which("haproxy", path=f"{os.environ.get('PATH', '')}:/usr/sbin")
    if found is None:
        pytest.skip("haproxy is not installed: apt-get install haproxy")
    return found


@dataclass(frozen=True)
class Server:
    """A running server and the port of it."""

    process: subprocess.Popen[str]
    port: int

    def open_channels(self) -> int:
        """Return what it says of itself."""
        with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/metrics", timeout=10) as answer:
            text = answer.read().decode()
        found = re.search(r'^rill_channels_open\{model="general"\} (\d+)', text, re.MULTILINE)
        assert found, text
        return int(found[1])


@dataclass(frozen=True)
class Farm:
    """Two servers and the port of what balances them."""

    servers: list[Server]
    port: int

    @property
    def url(self) -> str:
        return f"ws://127.0.0.1:{self.port}{PATH}"

    def get(self, path: str) -> int:
        """Return the status of an answer through the balancer."""
        try:
            with urllib.request.urlopen(
                f"http://127.0.0.1:{self.port}{path}", timeout=10
            ) as answer:
                return int(answer.status)
        except urllib.error.HTTPError as error:
            with error:
                return error.code


@contextmanager
def stopping(process: subprocess.Popen[str]) -> Iterator[None]:
    try:
        yield
    finally:
        if process.poll() is None:
            process.terminate()
        process.communicate(timeout=STOP_SECONDS)


@pytest.fixture
def farm(haproxy: str) -> Iterator[Farm]:
    """Two servers of the bundled model behind the configuration as it is shipped."""
    command = [sys.executable, "-m", "server", "--port", "0", "--slots", str(SLOTS)]
    command += ["--trusted-proxies", "127.0.0.1"]
    with ExitStack() as stack:
        processes = [
            subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
            for _ in range(2)
        ]
        for process in processes:
            stack.enter_context(stopping(process))
        servers = []
        for process in processes:
            assert process.stdout is not None
            found = re.match(r"ws://127\.0\.0\.1:(\d+)/", process.stdout.readline())
            assert found, "the server did not start"
            servers.append(Server(process, int(found[1])))
        listener = stack.enter_context(socket.create_server(("127.0.0.1", 0)))
        addresses = {
            "RILL_BALANCER": f"fd@{listener.fileno()}",
            "RILL_SERVER_1": f"127.0.0.1:{servers[0].port}",
            "RILL_SERVER_2": f"127.0.0.1:{servers[1].port}",
        }
        balancer = subprocess.Popen(
            [haproxy, "-db", "-f", str(CONFIGURATION)],
            env={**os.environ, **addresses},
            pass_fds=[listener.fileno()],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        stack.enter_context(stopping(balancer))
        farm = Farm(servers, listener.getsockname()[1])
        assert farm.get("/readyz") == 200  # connections wait in the socket until HAProxy takes them
        yield farm


@dataclass
class Stream:
    """One stream in lock-step: a chunk of audio, its response."""

    connection: ClientConnection
    audio: bytes
    sent: int = 0
    texts: list[str] = field(default_factory=list)

    async def go_on(self, share: float = 1.0) -> None:
        """Send up to a share of the audio."""
        while self.sent < share * len(self.audio):
            message = self.audio[self.sent : self.sent + CHUNK_BYTES]
            await self.connection.send(message)
            self.sent += len(message)
            if len(message) == CHUNK_BYTES:
                self._add(await self.connection.recv())

    async def finish(self) -> str:
        """Send the rest; return the whole text."""
        await self.go_on()
        await self.connection.send(b"")
        async for message in self.connection:
            self._add(message)
        assert self.connection.close_code == 1000
        return "".join(self.texts).strip()

    def _add(self, message: str | bytes) -> None:
        response = msgspec.json.decode(message)
        assert not response["is_provisional"]
        self.texts.append(response["alternatives"][0]["transcript"])


@asynccontextmanager
async def opened(to: Farm | Server, audio: bytes, number: int) -> AsyncIterator[list[Stream]]:
    """Open so many streams, through the balancer or past it, one after the other."""
    connections: list[ClientConnection] = []
    try:
        for _ in range(number):
            connections.append(await connect(f"ws://127.0.0.1:{to.port}{PATH}", proxy=None))
        yield [Stream(connection, audio) for connection in connections]
    finally:
        for connection in connections:
            await connection.close()


async def free(server: Server) -> None:
    """Wait until a server has no stream: its client may have left before it knows."""
    async with asyncio.timeout(STOP_SECONDS):
        while server.open_channels():
            await asyncio.sleep(0.01)


async def deaf(server: Server) -> None:
    """Wait until a server has seen its signal and listens no more."""
    async with asyncio.timeout(STOP_SECONDS):
        with suppress(ConnectionError):
            while True:
                _, writer = await asyncio.open_connection("127.0.0.1", server.port)
                writer.close()
                await asyncio.sleep(0.01)


@pytest.fixture(scope="module")
def audio() -> bytes:
    samples, rate = soundfile.read(recordings()[1].audio, dtype="int16")
    assert rate == 16000
    return bytes(samples.astype("<i2").tobytes())


@pytest.fixture(scope="module")
def text() -> str:
    """What one stream alone says."""
    transcript = Recogniser(open_model(model_path())).transcribe(read_audio(recordings()[1].audio))
    assert len(transcript[0].split()) > 3
    return transcript[0]


def test_haproxy_accepts_the_file_with_its_own_addresses_and_with_others(haproxy: str) -> None:
    for addresses in ({}, {"RILL_BALANCER": "127.0.0.1:80", "RILL_SERVER_2": "10.1.2.3:3030"}):
        command = [haproxy, "-c", "-f", str(CONFIGURATION)]
        run = subprocess.run(
            command, env={**os.environ, **addresses}, capture_output=True, text=True, check=False
        )
        assert run.returncode == 0, run.stderr
        assert "WARNING" not in run.stderr


async def test_streams_beside_a_server_that_is_killed_do_not_notice(
    farm: Farm, audio: bytes, text: str
) -> None:
    killed, survivor = farm.servers
    async with opened(farm, audio, 4) as streams:
        assert [server.open_channels() for server in farm.servers] == [2, 2]
        await asyncio.gather(*(stream.go_on(0.5) for stream in streams))
        killed.process.kill()
        killed.process.wait()
        ends = await asyncio.gather(
            *(stream.finish() for stream in streams), return_exceptions=True
        )
        assert [end for end in ends if isinstance(end, str)] == [text, text]
        assert sum(isinstance(end, ConnectionClosedError) for end in ends) == 2
    await free(survivor)
    async with opened(farm, audio, SLOTS) as streams:
        assert survivor.open_channels() == SLOTS
        assert await asyncio.gather(*(stream.finish() for stream in streams)) == [text] * SLOTS


def test_a_request_keeps_the_id_that_the_balancer_gives_it(farm: Farm) -> None:
    ids = set()
    for _ in range(2):
        asked = urllib.request.Request(f"http://127.0.0.1:{farm.port}/model")
        asked.add_header("X-Request-Id", "forged")
        with urllib.request.urlopen(asked, timeout=10) as answer:
            ids.add(answer.headers["X-Request-Id"])
    assert len(ids) == 2
    assert all(re.fullmatch(r"[0-9A-F]+-[0-9A-F]+-[0-9A-F]+", each) for each in ids)


async def test_a_stream_that_begins_as_a_server_dies_goes_to_the_other(
    farm: Farm, audio: bytes, text: str
) -> None:
    async with opened(farm, audio, 1) as first:  # the next one's turn is the other server
        dead = next(server for server in farm.servers if not server.open_channels())
        dead.process.kill()
        dead.process.wait()
        async with opened(farm, audio, 2) as streams:  # before a health check can have found it
            assert await asyncio.gather(*(s.finish() for s in [*first, *streams])) == [text] * 3


async def test_a_stream_that_meets_a_full_server_goes_to_the_other(
    farm: Farm, audio: bytes, text: str
) -> None:
    full, other = farm.servers
    async with (
        opened(full, audio, SLOTS),
        opened(farm, audio, SLOTS) as streams,  # before a health check can have found it
    ):
        assert other.open_channels() == SLOTS
        assert await asyncio.gather(*(stream.finish() for stream in streams)) == [text] * SLOTS


async def test_a_server_that_is_told_to_stop_finishes_its_streams_and_gets_no_more(
    farm: Farm, audio: bytes, text: str
) -> None:
    stopped, survivor = farm.servers
    async with opened(farm, audio, 4) as streams:
        assert stopped.open_channels() == 2
        await asyncio.gather(*(stream.go_on(0.5) for stream in streams))
        stopped.process.terminate()
        await deaf(stopped)
        async with opened(farm, audio, 2) as more:
            assert survivor.open_channels() == 4
            ends = [stream.finish() for stream in [*streams, *more]]
            assert await asyncio.gather(*ends) == [text] * 6
    assert await asyncio.to_thread(stopped.process.wait, STOP_SECONDS) == 0


async def test_when_all_are_full_a_stream_is_told_to_try_again_and_then_gets_a_place(
    farm: Farm, audio: bytes, text: str
) -> None:
    async with opened(farm, audio, 2 * SLOTS) as streams:
        assert [server.open_channels() for server in farm.servers] == [SLOTS, SLOTS]
        with pytest.raises(InvalidStatus) as refused:
            await connect(farm.url, proxy=None)
        assert refused.value.response.status_code == 503
        assert refused.value.response.headers["Retry-After"] == "1"
        assert await streams.pop().finish() == text
        async with asyncio.timeout(STOP_SECONDS):
            while await asyncio.to_thread(farm.get, "/readyz") != 200:
                await asyncio.sleep(0.1)
        async with opened(farm, audio, 1) as late:
            ends = [stream.finish() for stream in [*streams, *late]]
            assert await asyncio.gather(*ends) == [text] * (2 * SLOTS)
