"""The process of an engine: started by the server, and what becomes of the one without the other."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest

from server.engine.__main__ import main
from server.engine.channels import Channels
from server.engine.ipc import EngineOptions
from server.engine.process import in_process
from server.engine.supervisor import LoadError
from stream.audio import read_audio
from stream.bundled import recordings
from stream.decoding.options import DecoderOptions
from stream.engine.engine import Result
from stream.engine.front_end import FRONT_ENDS, FrontEndKind
from tests.tiny import without_int8


def order(
    path: Path | None = None,
    front_end: FrontEndKind = "float",
    backend: str | None = "onnx",
    slots: int | None = 2,
    chunk_ms: int | None = None,
) -> EngineOptions:
    return EngineOptions(
        path=None if path is None else str(path),
        backend=backend,
        front_end=front_end,
        slots=slots,
        models=1,
        decoder=DecoderOptions(),
        log_format="text",
        chunk_ms=chunk_ms,
    )


class Heard:
    """What a channel of the bundled model said of a recording."""

    def __init__(self) -> None:
        self.text = ""
        self.fault: str | None = None
        self.over = asyncio.Event()

    def receive_result(self, result: Result) -> None:
        self.text += result.text
        if result.last:
            self.over.set()

    def receive_fault(self, reason: str) -> None:
        self.fault = reason
        self.over.set()


async def transcribe(channels: Channels) -> None:
    """Stream a bundled recording through a channel, and check its text."""
    recording, heard = recordings()[0], Heard()
    channel = channels.open(heard)
    assert channel is not None
    channel.push(read_audio(recording.audio))
    channel.finish()
    async with asyncio.timeout(30):
        await heard.over.wait()
    assert heard.text.split() == recording.text.split()


@pytest.mark.parametrize("front_end", FRONT_ENDS)
async def test_a_recording_goes_through_a_process_of_its_own_and_back(
    front_end: FrontEndKind,
) -> None:
    channels = Channels(in_process(order(front_end=front_end)))
    await channels.start()
    try:
        assert (channels.slots, channels.ready.about["backend"]) == (2, "onnx")
        assert channels.ready.about["front_end"] == front_end
        assert channels.ready.about["bundled"]
        assert channels.engine.pid != os.getpid()
        await transcribe(channels)
        assert sum(channels.step_seconds.cumulative()[-1:]) > 10
    finally:
        await channels.stop()
    assert channels.engine.pid is None


async def test_a_process_that_dies_fails_its_channels_and_is_restarted_as_it_was() -> None:
    channels = Channels(in_process(order(backend=None, slots=None)))
    await channels.start()
    before, heard = channels.ready, Heard()
    assert channels.open(heard) is not None
    assert channels.engine.pid is not None
    os.kill(channels.engine.pid, signal.SIGKILL)
    async with asyncio.timeout(10):
        await heard.over.wait()
    assert heard.fault == "the engine has ended; try again"
    assert channels.refusal() == channels.engine.fault() == "the engine has ended"
    assert channels.open(Heard()) is None
    async with asyncio.timeout(60):
        while channels.refusal() is not None:
            await asyncio.sleep(0.05)
    # No second self-test, which would measure this machine with other engines at work.
    assert (channels.slots, channels.ready.about) == (before.slots, before.about)
    assert (channels.engine.restarts, channels.engine.fault()) == (1, None)
    await transcribe(channels)
    await channels.stop()


async def test_signals_for_all_processes_leave_it_to_the_server_when_to_end() -> None:
    channels = Channels(in_process(order()))
    await channels.start()
    assert channels.engine.pid is not None
    for number in (signal.SIGINT, signal.SIGTERM):
        os.kill(channels.engine.pid, number)
    heard = Heard()
    channel = channels.open(heard)
    assert channel is not None
    channel.finish()
    async with asyncio.timeout(10):
        await heard.over.wait()
    assert heard.fault is None
    await channels.stop()


async def test_a_length_of_chunk_that_the_model_is_not_trained_with_is_refused() -> None:
    channels = Channels(in_process(order(chunk_ms=240)))
    wanted = "en-commands: a chunk of 240 ms: the model is trained with .* 60 ms"
    with pytest.raises(LoadError, match=wanted):
        await channels.start()
    await channels.stop()


async def test_a_head_that_a_model_does_not_have_is_refused_with_the_models_name() -> None:
    decoder = DecoderOptions(head="ctc")
    channels = Channels(in_process(msgspec.structs.replace(order(), decoder=decoder)))
    with pytest.raises(LoadError, match="en-commands: head is 'ctc'"):
        await channels.start()
    await channels.stop()


async def test_a_length_of_chunk_is_told_with_those_to_choose_from() -> None:
    channels = Channels(in_process(order(chunk_ms=60)))
    await channels.start()
    about = channels.ready.about
    await channels.stop()
    assert (about["chunk_ms"], about["chunks_ms"]) == (60, [60])


async def test_a_model_that_is_none_is_named(tmp_path: Path) -> None:
    channels = Channels(in_process(order(tmp_path / "best.pt")))
    with pytest.raises(LoadError, match=r"best\.pt: no such model") as raised:
        await channels.start()
    assert not raised.value.missing
    await channels.stop()


@pytest.mark.parametrize("slots", [None, 2])
async def test_where_int8_cannot_run_float32_is_served_and_one_line_says_so(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], slots: int | None
) -> None:
    path = without_int8(tmp_path / "model")
    channels = Channels(in_process(order(path, backend=None, slots=slots)))
    await channels.start()
    backend = channels.ready.about["backend"]
    await channels.stop()
    assert backend == "onnx"
    (said,) = [line for line in capfd.readouterr().err.splitlines() if "WARNING" in line]
    assert "float32 is served, for int8 cannot run here: " in said


@pytest.mark.skipif(sys.platform != "linux", reason="the kernel ends it")
@pytest.mark.parametrize("stopped", [False, True])
def test_it_ends_with_the_server_that_started_it(stopped: bool) -> None:
    script = (
        "import asyncio, os, sys\n"
        "import msgspec\n"
        "from server.engine.channels import Channels\n"
        "from server.engine.process import in_process\n"
        "from server.engine.ipc import EngineOptions\n"
        "channels = Channels(in_process(msgspec.json.decode(sys.argv[1], type=EngineOptions)))\n"
        "asyncio.run(channels.start())\n"
        "print(channels.engine.pid, flush=True)\n"
        "os.kill(channels.engine.pid, int(sys.argv[2]))\n"
        "os._exit(1)\n"
    )
    encoded = msgspec.json.encode(order()).decode()
    ran = subprocess.run(
        [sys.executable, "-c", script, encoded, str(int(signal.SIGSTOP) if stopped else 0)],
        stdout=subprocess.PIPE,
        check=False,
        timeout=60,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )
    pid = int(ran.stdout)
    for _ in range(200):
        if not _status(pid) or _zombie(pid):
            return
        asyncio.run(asyncio.sleep(0.05))
    pytest.fail(f"process {pid} is still there")


def _status(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return ""


def _zombie(pid: int) -> bool:
    return _status(pid).rpartition(")")[2].split()[:1] == ["Z"]


def test_by_hand_it_says_who_starts_it(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as raised:
        main(["0", "{}"])
    assert raised.value.code == 2
    assert "started by python -m server" in capsys.readouterr().err
