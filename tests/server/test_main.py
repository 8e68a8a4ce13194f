"""`python -m server` as a process."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
import urllib.request
from pathlib import Path

import pytest
from websockets.asyncio.client import connect

from server.__main__ import build_parser, main
from server.client.stream import stream_audio
from server.demo import running_server
from stream.audio import read_audio
from stream.bundled import recordings
from stream.decoding.options import DecoderOptions
from stream.model.directory import write
from stream.recogniser import Recogniser
from tests.server.scripted import QUERY, pcm, samples_of, talking_network
from tests.tiny import without_int8


@pytest.fixture(scope="session")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model directory that the NumPy backend runs."""
    path = tmp_path_factory.mktemp("models") / "talking"
    write(talking_network(), path, {})
    return path


def flags(model: Path) -> list[str]:
    return ["--model", str(model), "--backend", "numpy"]


@pytest.mark.parametrize("decoder", ["greedy", "beam"])
def test_a_stream_through_the_process_says_what_the_recogniser_says(
    model: Path, decoder: str
) -> None:
    audio = samples_of(pcm(1.0))
    pieces = talking_network().vocabulary.pieces
    decoding = DecoderOptions(decoder=decoder, beam_width=2).decoding(pieces)
    alone = Recogniser(talking_network(), decoding=decoding).transcribe(audio)[0]
    argv = [*flags(model), "--decoder", decoder, "--beam-width", "2", "--slots", "2"]
    with running_server(*argv) as url:
        session = asyncio.run(stream_audio(f"{url}?{QUERY}", [audio], realtime=False))
        with urllib.request.urlopen(url.replace("ws:", "http:").split("/asr")[0] + "/readyz") as ok:
            assert ok.status == 200
    assert session.transcript == alone != ""


def test_a_beam_search_takes_a_language_model_from_a_file(model: Path, tmp_path: Path) -> None:
    path = tmp_path / "lm.arpa"
    path.write_text("\\data\\\nngram 1=3\n\n\\1-grams:\n-1 <unk>\n-99 <s>\n-1 </s>\n\n\\end\\\n")
    argv = ["--decoder", "beam", "--ngram", str(path), "--ngram-weight", "0.3", "--slots", "1"]
    with (
        running_server(*flags(model), *argv) as url,
        urllib.request.urlopen(url.replace("ws:", "http:").split("/asr")[0] + "/model") as answer,
    ):
        (described,) = json.load(answer)["models"]
    assert (described["decoder"], described["ngram"]) == ("beam", True)


def test_a_beam_search_uses_the_ngram_model_of_its_checkpoint(
    golden: Path,
) -> None:
    path = golden / "hwckpt_v1.14.0.pt"
    with running_server("--model", str(path), "--decoder", "beam", "--slots", "1") as url:
        asyncio.run(stream_audio(f"{url}?{QUERY}", [samples_of(pcm(0.5))], realtime=False))
        with urllib.request.urlopen(
            url.replace("ws:", "http:").split("/asr")[0] + "/model"
        ) as answer:
            (described,) = json.load(answer)["models"]
    assert (described["decoder"], described["ngram"]) == ("beam", True)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_in_mid_stream_finishes_the_stream_and_exits_with_0(
    model: Path, number: signal.Signals
) -> None:
    audio = pcm(1.0)
    command = [sys.executable, "-m", "server", "--port", "0", *flags(model)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        url = process.stdout.readline().decode().strip()

        async def stream() -> str:
            text = ""
            async with connect(url) as connection:
                await connection.send(audio[:16000])
                await connection.recv()
                process.send_signal(number)
                await asyncio.sleep(0.2)
                with pytest.raises(OSError):
                    await asyncio.open_connection(
                        "127.0.0.1", int(url.split(":")[2][:5].strip("/"))
                    )
                await connection.send(audio[16000:])
                await connection.send(b"")
                async for message in connection:
                    text += str(message).split('"transcript":"')[1].split('"')[0]
            return text

        text = asyncio.run(stream())
        assert process.wait(10) == 0
    alone = Recogniser(talking_network()).transcribe(samples_of(audio))[0]
    assert alone.endswith(text.strip())
    assert len(text) > len(alone) // 2


def test_a_taken_port_exits_with_2_and_says_so(
    model: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        command = [sys.executable, "-m", "server", "--port", str(port), *flags(model)]
        assert subprocess.run(command, check=False, timeout=30).returncode == 2
    assert f"cannot listen on 127.0.0.1:{port}" in capfd.readouterr().err


@pytest.mark.parametrize("content", [None, b"not a model"])
def test_a_model_that_is_missing_or_broken_exits_with_3_and_names_it(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], content: bytes | None
) -> None:
    path = tmp_path / "model"
    if content is not None:
        path.write_bytes(content)
    command = [sys.executable, "-m", "server", "--port", "0", "--model", str(path)]
    assert subprocess.run(command, check=False, timeout=30).returncode == 3
    error = capfd.readouterr().err
    assert str(path) in error
    assert "Traceback" not in error


def test_int8_by_name_exits_with_3_where_it_cannot_run_and_names_the_flag_that_helps(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    model = str(without_int8(tmp_path / "model"))
    command = [sys.executable, "-m", "server", "--port", "0", "--model", model, "--backend", "int8"]
    assert subprocess.run(command, check=False, timeout=30).returncode == 3
    error = capfd.readouterr().err
    assert "encoder.int8.onnx cannot be run" in error and "Use --backend onnx" in error
    assert "Traceback" not in error


@pytest.mark.parametrize(
    "argv, text",
    [
        (["--port", "65536"], "--port is 65536; want 0 to 65535"),
        (["--port", "http"], "--port: invalid int value: 'http'"),
        (["--slots", "0"], "--slots is 0; want 1 or more"),
        (["--backend", "abacus"], "--backend is 'abacus'; there are"),
        (["--por", "1"], "unrecognized arguments: --por"),
    ],
)
def test_a_wrong_command_line_exits_with_2(
    argv: list[str], text: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as exit_:
        main(argv)
    assert exit_.value.code == 2
    assert text in capsys.readouterr().err


def test_help_does_not_depend_on_the_environment() -> None:
    assert build_parser({"RILL_PORT": "4040"}).format_help() == build_parser().format_help()


def test_the_demo_streams_to_each_model_ends_with_the_transcript_of_the_first_and_leaves_no_server(
    model: Path,
) -> None:
    environment = {**os.environ, "RILL_MODEL": f"{model},other={model}", "RILL_BACKEND": "numpy"}
    command = [sys.executable, "-m", "server.demo"]
    demo = subprocess.run(
        command, env=environment, capture_output=True, text=True, timeout=60, check=True
    )
    audio = read_audio(recordings()[0].audio)
    assert demo.stdout.splitlines()[-1] == Recogniser(talking_network()).transcribe(audio)[0]
    assert "  general, chunks of 60 ms: CL50 " in demo.stdout
    assert "  other, chunks of 60 ms: CL50 " in demo.stdout
    assert "The model knows" not in demo.stdout  # this one's notes do not say what
    port = int(demo.stdout.split("ws://127.0.0.1:")[1].split("/")[0])
    with pytest.raises(OSError):
        socket.create_connection(("127.0.0.1", port))
