"""The command line of the client; the session itself is tested in test_session.py."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import soundfile

from server.client.__main__ import main
from stream.extras import install_command
from tests.server.scripted import ScriptedEngine, samples_of, serving
from tests.server.scripted import pcm as noise


@pytest.fixture
def url() -> Iterator[str]:
    """A server on another thread, since the client has an event loop of its own."""
    ready, url = threading.Event(), ""
    loop = asyncio.new_event_loop()
    stop = asyncio.Event()

    async def serve() -> None:
        nonlocal url
        words = {0: " the", 2: " cat", -1: " sat"}
        async with serving(ScriptedEngine(1, lambda chunk, _: words.get(chunk, ""))) as service:
            url = f"ws://127.0.0.1:{service.port}"
            ready.set()
            await stop.wait()

    thread = threading.Thread(target=loop.run_until_complete, args=(serve(),))
    thread.start()
    ready.wait(5)
    yield url
    loop.call_soon_threadsafe(stop.set)
    thread.join()
    loop.close()


@pytest.fixture
def recording(tmp_path: Path) -> Path:
    path = tmp_path / "cat.flac"
    soundfile.write(path, np.repeat(samples_of(noise(0.3))[:, None], 2, axis=1), 16000)
    return path


def test_a_dash_is_standard_input(url: str, recording: Path) -> None:
    command = [sys.executable, "-m", "server.client", "-", "--fast", "--url", url]
    answer = subprocess.run(command, input=recording.read_bytes(), capture_output=True, timeout=60)
    assert (answer.returncode, answer.stdout) == (0, b"the cat sat\n")


def test_files_give_a_line_each_and_latency_goes_to_stderr(
    url: str, recording: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([str(recording), str(recording), "--url", url]) == 0
    output = capsys.readouterr()
    assert output.out == "the cat sat\nthe cat sat\n"
    assert "CL50 " in output.err
    assert "over 5 chunks of 60 ms" in output.err


def test_fast_reports_no_latency(
    url: str, recording: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([str(recording), "--url", url, "--fast"]) == 0
    assert "CL50" not in capsys.readouterr().err


def test_no_server_exits_with_3(recording: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([str(recording), "--url", "ws://127.0.0.1:1"]) == 3
    assert "error: ws://127.0.0.1:1: no server answers" in capsys.readouterr().err


def test_a_file_that_is_no_audio_exits_with_3_and_is_named(
    url: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "notes.txt"
    path.write_text("no audio")
    assert main([str(path), "--url", url]) == 3
    assert f"error: {path}: is no recording of a format that is read" in capsys.readouterr().err


def test_a_microphone_without_sounddevice_exits_with_4(
    url: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "sounddevice", None)
    assert main(["--mic", "--url", url]) == 4
    assert install_command("mic") in capsys.readouterr().err


@pytest.mark.parametrize("argv", [[], ["a.wav", "--mic"], ["a.wav", "--device", "1"]])
def test_a_wrong_command_line_exits_with_2(argv: list[str]) -> None:
    with pytest.raises(SystemExit) as exit_:
        main(argv)
    assert exit_.value.code == 2


def test_what_was_recognised_before_a_fault_of_the_recording_is_printed(
    url: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    samples = samples_of(noise(1.2))
    samples[-1] = np.nan
    soundfile.write(tmp_path / "a.wav", samples, 16000, subtype="FLOAT")
    assert main([str(tmp_path / "a.wav"), "--url", url]) == 3
    output = capsys.readouterr()
    assert output.out == "the cat\n"
    assert "sample 19199 (1.200 s) is nan" in output.err
