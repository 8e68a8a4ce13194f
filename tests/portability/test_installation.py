"""Environments are made of any Python, and what becomes of a process in one is told."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from tests.portability.__main__ import main, report
from tests.portability.comparison import Transcript, differences
from tests.portability.debian import Unavailable
from tests.portability.environment import create
from tests.portability.installation import Outcome, hear
from tests.portability.interpreters import of_version, this

VERSIONS = '{"python": "3.11.7", "machine": "x86_64", "numpy": "2.0.0", "onnxruntime": "1.21.0"}'
NUMPY = """\
{"backend": "numpy", "warnings": ["slow"], "transcripts":
 [{"recording": "a.flac", "row": null, "tokens": [[12, 5]]},
  {"recording": "a.flac", "row": 3, "tokens": [[12, 5]]}]}""".replace("\n", "")
NO_ONNX = '{"backend": "onnx", "error": "ModelError: no graphs"}'
DEAF = '{"backend": "int8", "warnings": [], "transcripts": [{"recording": "a", "row": 1, "tokens": []}]}'


def python_that(folder: Path, *printed: str, then: str = "exit 0") -> Path:
    """Return a program that prints lines whatever it is asked, and ends."""
    python = folder / "python"
    python.write_text("#!/bin/sh\n" + "".join(f"echo '{line}'\n" for line in printed) + then + "\n")
    python.chmod(0o755)
    return python


def heard_by(python: Path) -> Outcome:
    outcome = Outcome("haswell")
    hear(python, os.environ, outcome)
    return outcome


def test_an_environment_and_processes_started_in_it_go_by_its_name(tmp_path: Path) -> None:
    python = create(tmp_path / "environment", this())
    child = "import subprocess, sys; subprocess.run([sys.executable, '-c', 'import sys; %s'])"
    said = subprocess.run(
        [python, "-c", child % "print(sys.executable, sys.prefix)"], capture_output=True, text=True
    )
    assert said.stdout.split() == [str(python), str(tmp_path / "environment")], said.stderr


def test_a_version_that_is_nowhere_is_named(tmp_path: Path) -> None:
    with pytest.raises(Unavailable, match=r"no python3\.2 on PATH or in "):
        of_version("3.2", tmp_path)


def test_versions_transcripts_warnings_and_errors_are_taken_from_what_is_printed(
    tmp_path: Path,
) -> None:
    outcome = heard_by(python_that(tmp_path, VERSIONS, NUMPY, NO_ONNX))
    assert outcome.versions["onnxruntime"] == "1.21.0"
    assert outcome.transcripts == [
        Transcript("haswell", "numpy", "a.flac", None, ((12, 5),)),
        Transcript("haswell", "numpy", "a.flac", 3, ((12, 5),)),
    ]
    assert outcome.warnings == [("numpy", "slow")]
    assert outcome.errors == [("onnx", "ModelError: no graphs")]


def test_a_backend_that_takes_the_process_down_is_named(tmp_path: Path) -> None:
    python = python_that(tmp_path, VERSIONS, NUMPY, then="echo no such opcode >&2; kill -ILL $$")
    assert heard_by(python).errors == [("onnx", "exit status -4: no such opcode")]


def test_a_process_that_does_not_get_to_a_backend_is_told(tmp_path: Path) -> None:
    python = python_that(tmp_path, then="echo no numpy >&2; exit 1")
    assert heard_by(python).errors == [("starting", "exit status 1: no numpy")]


def test_nothing_heard_is_no_success(tmp_path: Path) -> None:
    outcome = heard_by(python_that(tmp_path, VERSIONS, DEAF))
    assert outcome.errors == [("int8", "heard nothing in any recording")]


@pytest.mark.parametrize("complete", [False, True])
def test_what_is_skipped_is_said_and_fails_where_nothing_may_be_missing(
    complete: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    skipped = Outcome("haswell", skipped="no qemu-x86_64: apt-get install qemu-user")
    assert report([Outcome("native"), skipped], [], complete) == complete
    assert "haswell SKIPPED: no qemu-x86_64" in capsys.readouterr().out


def test_a_difference_fails_and_is_counted_in_its_cell(capsys: pytest.CaptureFixture[str]) -> None:
    native = Outcome("native", transcripts=[Transcript("native", "onnx", "a", None, ((1, 2),))])
    haswell = Outcome("haswell", transcripts=[Transcript("haswell", "onnx", "a", None, ((1, 3),))])
    found = list(differences([*native.transcripts, *haswell.transcripts]))
    assert report([native, haswell], found, False) == 1
    printed = capsys.readouterr().out
    assert "1 of 1 differ" in printed
    assert "haswell, onnx, a alone: token 0 is 1 at encoder frame 3" in printed


def test_an_error_or_another_text_of_a_server_fails(capsys: pytest.CaptureFixture[str]) -> None:
    assert report([Outcome("nehalem", errors=[("int8", "crashed")])], [], False) == 1
    assert "nehalem, int8 FAILS: crashed" in capsys.readouterr().out
    assert report([Outcome("a", served="one"), Outcome("b", served="one")], [], False) == 0
    assert report([Outcome("a", served="one"), Outcome("b", served="nine")], [], False) == 1
    assert "servers differ: a 'one'; b 'nine'" in capsys.readouterr().out


def test_a_machine_that_is_not_known_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="2"):
        main(["cpus", "vax"])
    assert "there is no vax; there are native, haswell" in capsys.readouterr().err
