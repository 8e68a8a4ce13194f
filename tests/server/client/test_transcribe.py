"""rill transcribe: here and by a server, one recording and many."""

from __future__ import annotations

import asyncio
import json
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import soundfile

from server.client.transcribe import main
from stream.bundled import recordings
from tests.server.scripted import ScriptedEngine, samples_of, serving
from tests.server.scripted import pcm as noise

SAID = recordings()[7]  # "stop"
Capture = pytest.CaptureFixture[str]


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


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A recording in a folder, one in a folder within, a broken one, and what is none."""
    folder = tmp_path / "calls"
    (folder / "old").mkdir(parents=True)
    shutil.copy(SAID.audio, folder / "b.flac")
    shutil.copy(recordings()[6].audio, folder / "old" / "left.flac")
    (folder / "broken.wav").write_bytes(b"RIFF")
    (folder / "notes.txt").write_text("no recording")
    return folder


def test_one_recording_is_its_text(capsys: Capture) -> None:
    assert main([str(SAID.audio)]) == 0
    assert tuple(capsys.readouterr()) == ("stop\n", "")


def test_a_folder_goes_on_after_a_broken_file_and_lists_it(folder: Path, capsys: Capture) -> None:
    assert main([str(folder)]) == 1
    output = capsys.readouterr()
    assert output.out == f"{folder}/b.flac: stop\n{folder}/old/left.flac: left\n"
    fault, summary, *names = output.err.splitlines()
    assert fault.startswith(f"error: {folder}/broken.wav: ")
    assert summary.startswith("2 of 3 recordings, 2.0 s of audio in ")
    assert names == ["not transcribed:", f"  {folder}/broken.wav"]


def test_captions_are_a_file_for_each_recording(
    folder: Path, tmp_path: Path, capsys: Capture
) -> None:
    pattern, output = f"{folder}/**/*.flac", tmp_path / "captions" / "new"
    assert main([pattern, "--format", "srt", "--output", str(output)]) == 0
    assert capsys.readouterr().out == ""
    assert re.fullmatch(
        r"1\n00:00:00,\d+ --> 00:00:01,\d+\nstop\n\n", (output / "b.srt").read_text()
    )
    assert main([str(folder), "--format", "vtt", "--output", str(output)]) == 1
    assert (output / "old" / "left.vtt").read_text().startswith("WEBVTT\n\n00:00:00.")


def test_several_recordings_are_lines_of_json_and_of_ctm(capsys: Capture) -> None:
    names = [str(SAID.audio), str(recordings()[6].audio)]
    assert main([*names, "--format", "jsonl"]) == 0
    first, second = map(json.loads, capsys.readouterr().out.splitlines())
    assert (first["file"], first["text"], second["text"]) == (names[0], "stop", "left")
    assert first["words"][0]["word"] == "stop"
    assert main([*names, "--format", "ctm"]) == 0
    stop, left = capsys.readouterr().out.splitlines()
    assert re.fullmatch(r"speech-commands-stop 1 0\.\d{3} 0\.\d{3} stop", stop)
    assert re.fullmatch(r"speech-commands-left 1 0\.\d{3} 0\.\d{3} left", left)


def test_standard_input_is_transcribed_as_it_comes() -> None:
    audio = recordings()[0].read()
    command = [sys.executable, "-m", "server.client.transcribe", "-", "--raw", "16000"]
    pcm = np.rint(audio * 32768).astype("<i2").tobytes()
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdin is not None and process.stdout is not None
        process.stdin.write(pcm[: 2 * 40000])
        process.stdin.flush()
        heard = process.stdout.read(12)  # while the other half is yet to be said
        process.stdin.write(pcm[2 * 40000 :])
        process.stdin.close()
        heard += process.stdout.read()
        assert process.wait(30) == 0
    assert heard.decode() == "four one two six eight seven nine five two six\n"


def test_ctrl_c_ends_it_while_a_pipe_says_nothing() -> None:
    pcm = np.rint(recordings()[0].read() * 32768).astype("<i2").tobytes()
    command = [sys.executable, "-m", "server.client.transcribe", "-", "--raw", "16000"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdin is not None and process.stdout is not None
        process.stdin.write(pcm[: 2 * 40000])
        process.stdin.flush()
        assert process.stdout.read(4) == b"four"
        process.send_signal(signal.SIGINT)
        assert process.wait(30) == 130
        process.stdin.close()
        assert process.stdout.read().endswith(b"\n")


def test_a_dash_is_standard_input(url: str, recording: Path) -> None:
    command = [sys.executable, "-m", "server.client.transcribe", "-", "--url", url]
    answer = subprocess.run(command, input=recording.read_bytes(), capture_output=True, timeout=60)
    assert (answer.returncode, answer.stdout) == (0, b"the cat sat\n")


def test_by_a_server_in_real_time_latency_goes_to_stderr(
    url: str, recording: Path, capsys: Capture
) -> None:
    began = time.monotonic()
    assert main([str(recording), "--url", url, "--realtime"]) == 0
    assert time.monotonic() - began > 0.29
    output = capsys.readouterr()
    assert output.out == "the cat sat\n"
    assert "CL50 " in output.err
    assert "over 5 chunks" in output.err


def test_without_real_time_no_latency_is_reported(
    url: str, recording: Path, capsys: Capture
) -> None:
    assert main([str(recording), "--url", url]) == 0
    assert "CL50" not in capsys.readouterr().err


def test_captions_of_a_server_that_sends_no_times_are_refused(
    url: str, recording: Path, capsys: Capture
) -> None:
    assert main([str(recording), "--url", url, "--format", "srt"]) == 3
    assert "the server sends no times of words" in capsys.readouterr().err


def test_no_server_exits_with_3(recording: Path, capsys: Capture) -> None:
    assert main([str(recording), "--url", "ws://127.0.0.1:1"]) == 3
    assert "error: ws://127.0.0.1:1: no server answers" in capsys.readouterr().err


def test_a_file_that_is_no_audio_exits_with_3_and_is_named(tmp_path: Path, capsys: Capture) -> None:
    path = tmp_path / "notes.txt"
    path.write_text("no audio")
    assert main([str(path)]) == 3
    assert f"error: {path}: is not in a format that Rill reads" in capsys.readouterr().err


def test_what_was_recognised_before_a_fault_of_the_recording_is_printed(
    tmp_path: Path, capsys: Capture
) -> None:
    samples = recordings()[0].read()
    samples[48000] = np.nan
    soundfile.write(tmp_path / "a.wav", samples, 16000, subtype="FLOAT")
    assert main([str(tmp_path / "a.wav")]) == 3
    output = capsys.readouterr()
    assert output.out == "four one two six eight seven\n"
    assert "sample 48000 (3.000 s) is nan" in output.err


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        ([], "the following arguments are required: FILE"),
        (["a.wav", "--realtime"], "--realtime goes with --url"),
        (["a.wav", "b.wav", "--format", "srt"], "--format srt of several .* give --output DIR"),
        (["a.wav", "--format", "docx"], "invalid choice: 'docx'"),
    ],
)
def test_a_wrong_command_line_exits_with_2(argv: list[str], message: str, capsys: Capture) -> None:
    with pytest.raises(SystemExit) as exit_:
        main(argv)
    assert exit_.value.code == 2
    error = capsys.readouterr().err
    assert re.search(message, error), error


def test_two_recordings_that_would_be_one_file_are_refused(tmp_path: Path, capsys: Capture) -> None:
    names = [str(tmp_path / name) for name in ("a.wav", "a.flac")]
    assert main([*names, "--output", str(tmp_path / "out")]) == 2
    assert f"{names[0]} and {names[1]} would both be written to" in capsys.readouterr().err
