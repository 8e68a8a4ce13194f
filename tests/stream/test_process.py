"""How a command ends: its status, quietly where its reader goes away or Ctrl-C is pressed."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from stream.bundled import recordings
from stream.causality import CausalityError
from stream.errors import ArgumentError
from stream.extras import MissingExtraError, install_command
from stream.model.specification import ModelError
from stream.process import reports_errors
from tests.conftest import REPOSITORY

TABLE = REPOSITORY / "tests" / "vectors"
COMMANDS = {
    "show": ["hwckpt.show", str(TABLE / "hwckpt_v1.4.0.pt")],
    "help": ["hwckpt.show", "--help"],
    "conformance": ["hwckpt.conformance"],
    "validate": ["stream.validate", "--backend", "numpy"],
}


def run(
    arguments: list[str], output: int = subprocess.PIPE, **environment: str
) -> subprocess.CompletedProcess[str]:
    variables = {**os.environ, "PYTHONPATH": str(REPOSITORY), **environment}
    return subprocess.run(
        [sys.executable, *arguments],
        env=variables,
        stdout=output,
        stderr=subprocess.PIPE,
        text=True,
    )


@pytest.mark.parametrize(
    ("name", "unbuffered"),
    [("show", ""), ("show", "1"), ("help", ""), ("conformance", ""), ("validate", "")],
)
def test_a_reader_that_has_gone_ends_a_command_without_a_word(
    name: str, unbuffered: str, tmp_path: Path
) -> None:
    arguments = list(COMMANDS[name])
    if name == "conformance":
        (tmp_path / "melmat.npz").write_bytes((TABLE / "melmat.npz").read_bytes())
        arguments.append(str(tmp_path))
    reader, writer = os.pipe()
    os.close(reader)
    try:
        ended = run(["-m", *arguments], writer, PYTHONUNBUFFERED=unbuffered)
    finally:
        os.close(writer)
    assert (ended.returncode, ended.stderr) == (141, "")


@pytest.mark.parametrize(
    ("body", "status", "output"),
    [
        ("return 0", 0, ""),
        ("print('a line'); return 3", 3, "a line\n"),
        ("print('a line'); raise KeyboardInterrupt", 130, "a line\n"),
    ],
)
def test_the_status_is_that_of_main(body: str, status: int, output: str) -> None:
    program = f"from stream.process import run_main\ndef main():\n    {body}\nrun_main(main)"
    ended = run(["-c", program])
    assert (ended.returncode, ended.stdout, ended.stderr) == (status, output, "")


@pytest.mark.parametrize(
    ("error", "status", "message"),
    [
        (CausalityError("it looks ahead"), 1, "it looks ahead"),
        (ArgumentError("alpha is 2"), 2, "alpha is 2"),
        (ModelError("no model", Path("m.pt")), 3, "m.pt: no model"),
        (FileNotFoundError(2, "No such file", "m.pt"), 3, "[Errno 2] No such file: 'm.pt'"),
        (FloatingPointError("row 1: not finite"), 3, "row 1: not finite"),
        (MissingExtraError("torch is not installed"), 4, "torch is not installed"),
        (
            ModuleNotFoundError("No module named 'onnx'", name="onnx"),
            4,
            f"onnx is not installed: {install_command('train')}",
        ),
    ],
)
def test_an_error_of_the_table_is_one_line_and_its_status(
    error: Exception, status: int, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    @reports_errors()
    def main() -> int:
        raise error

    assert main() == status
    assert capsys.readouterr().err == f"error: {message}\n"


def test_a_main_may_report_its_errors_elsewhere(capsys: pytest.CaptureFixture[str]) -> None:
    said: list[str] = []

    @reports_errors(said.append)
    def main() -> int:
        raise ArgumentError("the port is taken")

    assert (main(), said, capsys.readouterr().err) == (2, ["the port is taken"], "")


@pytest.mark.parametrize(
    "error",
    [ValueError("shapes"), BrokenPipeError(), ModuleNotFoundError("numpy", name="numpy")],
    ids=lambda error: type(error).__name__,
)
def test_any_other_error_is_raised(error: Exception) -> None:
    @reports_errors()
    def main() -> int:
        raise error

    with pytest.raises(type(error)) as raised:
        main()
    assert raised.value is error


def test_a_fault_of_ours_is_still_seen() -> None:
    program = "from stream.process import run_main\nrun_main(lambda: 1 // 0)"
    ended = run(["-c", program])
    assert ended.returncode == 1
    assert "ZeroDivisionError" in ended.stderr


@pytest.mark.parametrize("encoding", ["cp1252", "ascii:strict", "utf-8"])
def test_what_stdout_cannot_encode_is_written_all_the_same(tmp_path: Path, encoding: str) -> None:
    recording = recordings()[0]
    (tmp_path / "東.flac").write_bytes(recording.audio.read_bytes())
    line = {"audio_filepath": "東.flac", "text": "no", "duration": recording.duration}
    (tmp_path / "m.jsonl").write_text(json.dumps(line), "utf-8")
    arguments = ["-m", "stream.validate", "--manifest", str(tmp_path / "m.jsonl")]
    ended = run(arguments, PYTHONIOENCODING=encoding)
    assert (ended.returncode, ended.stderr) == (0, "")
    name = "東" if encoding == "utf-8" else "\\u6771"
    assert ended.stdout.startswith(f"{name}.flac\n    said  no\n    heard ")
    assert "WER" in ended.stdout
