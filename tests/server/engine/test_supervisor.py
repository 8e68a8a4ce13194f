"""Engines that hang, end, or cannot be loaded, and a server that outlives them."""

from __future__ import annotations

import asyncio
import logging
import os
import re
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from websockets.exceptions import ConnectionClosedError
from websockets.sync.client import connect

from server.engine.channels import Channels
from server.engine.ipc import Alive, Frames, Probe, Push, Ready, Stepped, frame, read_commands
from server.engine.process import in_process
from server.engine.supervision import Supervision
from server.engine.supervisor import LoadError
from stream.encoders.lstm import LSTM
from stream.engine.engine import Result
from stream.model.directory import write
from stream.vocabulary import Alphabet
from tests.server.engine.test_main import order
from tests.server.scripted import Owner, pcm, samples_of, talking_network

CHUNK = LSTM.chunk_samples

READY = Ready(2, CHUNK, Alphabet(), {"backend": "numpy", "threads": 1})
HASTY = Supervision(hang_seconds=0.2, load_seconds=0.4, pause_seconds=0.01)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("models") / "talking"
    write(talking_network(), path, {})
    return path


@dataclass
class Puppet:
    """A worker whose end of the link the test holds.

    Attributes:
        link: its end; not blocking.
        heard: the commands that came.
    """

    link: socket.socket
    pid: int = os.getpid()
    killed: bool = False
    heard: list[object] = field(default_factory=list)
    frames: Frames = field(default_factory=Frames)

    def kill(self) -> None:
        self.killed = True
        self.link.close()

    def end(self) -> str:
        self.link.close()
        return "exit status 7"

    def listen(self) -> None:
        """Take the commands that wait."""
        while True:
            try:
                received = self.link.recv(65536)
            except BlockingIOError:
                return
            if not received:
                return
            for payload in self.frames.feed(received):
                self.heard += read_commands(payload)


class Puppets:
    """All workers that a supervisor starts, the latest last.

    Args:
        loads: whether they say that they are ready.
    """

    def __init__(self, loads: bool = True) -> None:
        self.loads = loads
        self.all: list[Puppet] = []

    def start(self, link: socket.socket, before: Ready | None) -> Puppet:
        link.setblocking(False)
        if self.loads:
            link.send(frame([READY]))
        self.all.append(Puppet(link))
        return self.all[-1]


async def until(happened: Callable[[], object]) -> None:
    async with asyncio.timeout(10):
        while not happened():
            await asyncio.sleep(0.01)


def log_of(caplog: pytest.LogCaptureFixture, level: int) -> list[str]:
    return [each.getMessage() for each in caplog.records if each.levelno == level]


async def test_an_engine_that_answers_no_probe_is_hung_then_killed_and_restarted(
    caplog: pytest.LogCaptureFixture,
) -> None:
    puppets, owner = Puppets(), Owner()
    channels = Channels(puppets.start, "en", HASTY)
    await channels.start()
    assert channels.open(owner) is not None
    await until(channels.engine.fault)
    assert channels.refusal() == channels.engine.fault() == "the engine has not answered for 0 s"
    assert (channels.open(Owner()), owner.faults) == (None, [])
    await until(lambda: len(puppets.all) == 2)
    assert puppets.all[0].killed
    assert owner.faults == ["the engine did not answer for 1 s and was killed; try again"]
    await channels.stop()
    assert log_of(caplog, logging.ERROR) == [
        "model en: the engine did not answer for 1 s and was killed (exit status 7), "
        "streams closed: 1; restart in 0.01 s"
    ]


async def test_an_engine_that_answers_in_time_goes_on() -> None:
    puppets = Puppets()
    channels = Channels(puppets.start, "en", HASTY)
    await channels.start()
    (puppet,) = puppets.all
    for _ in range(2):
        await until(channels.engine.fault)
        puppet.listen()
        puppet.link.send(frame([Alive()]))
        await until(lambda: channels.engine.fault() is None)
        assert puppet.heard.count(Probe()) == 1
        puppet.heard.clear()
    assert channels.engine.restarts == 0
    await channels.stop()


@pytest.mark.parametrize("answers", [True, False])
async def test_a_channel_that_is_owed_a_result_counts_and_one_that_is_only_late_does_not(
    answers: bool,
) -> None:
    puppets = Puppets()
    channels = Channels(puppets.start, "en", HASTY)
    await channels.start()
    (puppet,) = puppets.all
    channel = channels.open(Owner())
    assert channel is not None
    channel.push(samples_of(pcm(6.0)))
    for _ in range(30):  # 0.9 s, over four times what makes an engine hung
        puppet.listen()
        puppet.link.send(frame([Alive(), *([Stepped(0.001, [1], [], [])] * answers)]))
        await asyncio.sleep(0.03)
        if channels.engine.fault() or channels.engine.restarts:
            break
    assert any(isinstance(command, Push) for command in puppet.heard)
    assert answers == (channels.engine.fault() is None)
    await channels.stop()


async def test_an_end_of_a_stream_is_owed_its_last_result() -> None:
    channels = Channels(Puppets().start)
    await channels.start()
    channel = channels.open(Owner())
    assert channel is not None
    channel.push(samples_of(pcm(0.03)))
    assert len(samples_of(pcm(0.03))) < CHUNK
    assert not channel.due
    channel.finish()
    assert channel.due
    channel.take(Result(0, 0.0, 0.0, "", (), last=True), time.monotonic())
    assert not channel.due
    await channels.stop()


async def test_a_model_that_is_never_loaded_is_no_reason_to_wait_forever() -> None:
    puppets = Puppets(loads=False)
    channels = Channels(puppets.start, "en", HASTY)
    with pytest.raises(LoadError, match=r"model en was not loaded within 0 s \(exit status 7\)"):
        await channels.start()
    assert puppets.all[0].killed
    await channels.stop()


async def test_an_engine_that_cannot_be_loaded_again_ends_it_after_some_restarts(
    caplog: pytest.LogCaptureFixture,
) -> None:
    puppets = Puppets()
    supervision = Supervision(restarts=2, pause_seconds=0.01)
    channels = Channels(puppets.start, "en", supervision)
    await channels.start()
    failure = asyncio.create_task(channels.engine.failure())
    puppets.loads = False
    for number in range(3):
        await until(lambda: len(puppets.all) > number)  # noqa: B023
        puppets.all[number].link.close()
    async with asyncio.timeout(5):
        assert await failure == "the engine of model en failed more than 2 times within 300 s"
    cannot = "the engine ended before model en was loaded: exit status 7"
    assert log_of(caplog, logging.ERROR) == [
        "model en: the engine has ended (exit status 7), streams closed: 0; restart in 0.01 s",
        f"model en: the engine cannot be loaded again: {cannot}; restart in 0.02 s",
        f"model en: the engine cannot be loaded again: {cannot}",
    ]
    assert channels.engine.fault() == "the engine cannot be loaded again"
    await channels.stop()


def descriptors() -> int:
    return len(os.listdir("/proc/self/fd"))


def children() -> list[str]:
    return subprocess.run(
        ["ps", "--ppid", str(os.getpid()), "-o", "stat="],
        capture_output=True,
        text=True,
        check=False,
    ).stdout.split()


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="no /proc")
async def test_five_deaths_leave_nothing_behind(model: Path) -> None:
    channels = Channels(
        in_process(order(model, backend="numpy")), "en", Supervision(pause_seconds=0.01)
    )
    await channels.start()
    before = descriptors()
    for death in range(5):
        assert channels.open(Owner()) is not None
        assert channels.engine.pid is not None
        os.kill(channels.engine.pid, signal.SIGKILL)
        async with asyncio.timeout(60):
            while channels.engine.restarts == death or channels.refusal():
                await asyncio.sleep(0.02)
        assert channels.in_use == 0
    assert descriptors() == before
    assert not any(state.startswith("Z") for state in children())
    await channels.stop()


@dataclass
class Server:
    """A server as a process group of its own."""

    process: subprocess.Popen[str]
    url: str

    def get(self, path: str) -> tuple[int, str]:
        target = self.url.replace("ws:", "http:").split("/asr")[0] + path
        try:
            with urllib.request.urlopen(target, timeout=10) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            with error:
                return error.code, error.read().decode()

    def until(self, path: str, status: int) -> str:
        """Wait for an answer."""
        for _ in range(600):
            answered, text = self.get(path)
            if answered == status:
                return text
            time.sleep(0.05)
        pytest.fail(f"{path} is still {answered}: {text}")

    def engine(self) -> int:
        return int(
            subprocess.run(
                ["pgrep", "--parent", str(self.process.pid)],
                capture_output=True,
                text=True,
                check=True,
            ).stdout.split()[0]
        )

    def restarts(self) -> int:
        found = re.search(r"^rill_engine_restarts_total\S* (\d+)", self.get("/metrics")[1], re.M)
        assert found
        return int(found[1])


@contextmanager
def running(model: Path, *flags: str) -> Iterator[Server]:
    command = [sys.executable, "-m", "server", "--port", "0", "--model", str(model)]
    process = subprocess.Popen(
        [*command, "--backend", "numpy", "--slots", "2", *flags],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    assert process.stdout is not None
    try:
        yield Server(process, process.stdout.readline().strip())
    finally:
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=30)


def test_a_server_tells_of_an_engine_that_is_stopped_and_of_one_that_was_killed(
    model: Path,
) -> None:
    with running(model, "--hang-seconds", "1") as server:
        os.kill(server.engine(), signal.SIGSTOP)
        assert "the engine has not answered for 1 s" in server.until("/healthz", 503)
        assert server.get("/readyz")[0] == 503
        os.kill(server.engine(), signal.SIGCONT)
        assert server.until("/healthz", 200) == "ok\n"
        assert server.restarts() == 0
        with connect(server.url) as stream:
            stream.send(pcm(0.06))
            stream.recv(timeout=10)
            os.kill(server.engine(), signal.SIGKILL)
            with pytest.raises(ConnectionClosedError) as closed:
                stream.recv(timeout=10)
        assert closed.value.rcvd is not None
        assert closed.value.rcvd.code == 1011
        assert closed.value.rcvd.reason == "the engine has ended; try again"
        assert server.until("/readyz", 200) == "ready\n"
        assert server.get("/healthz")[0] == 200
        assert server.restarts() == 1
        with connect(server.url) as stream:
            stream.send(pcm(0.06))
            stream.recv(timeout=10)
        server.process.send_signal(signal.SIGTERM)
        errors = [line for line in server.process.communicate()[1].splitlines() if "ERROR" in line]
    (error,) = errors
    assert (
        "model general: the engine has ended (signal 9, SIGKILL), streams closed: 1; restart in 0.5 s"
        in error
    )


def test_a_whole_server_that_was_stopped_goes_on_with_its_streams(model: Path) -> None:
    with running(model, "--hang-seconds", "1") as server, connect(server.url) as stream:
        os.killpg(server.process.pid, signal.SIGSTOP)
        time.sleep(4)  # longer than it takes to be killed
        os.killpg(server.process.pid, signal.SIGCONT)
        stream.send(pcm(0.06))
        stream.recv(timeout=10)
        assert server.get("/healthz") == (200, "ok\n")
        assert server.restarts() == 0


def test_a_server_whose_engine_fails_too_often_ends_with_1(model: Path) -> None:
    with running(model, "--engine-restarts", "0") as server:
        os.kill(server.engine(), signal.SIGKILL)
        assert server.process.wait(30) == 1
        said = server.process.communicate()[1]
    assert (
        "the engine of model general failed more than 0 times within 300 s; the server ends" in said
    )
    assert "Traceback" not in said
