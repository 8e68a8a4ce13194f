"""The programs of the pages for other projects' clients, against `rill serve` with the bundled model.

They run in the environment whose Python is $RILL_CLIENTS (`make clients` makes one), else in this one,
where those that need what is not installed are skipped.
"""

from __future__ import annotations

import difflib
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import soundfile

from stream.bundled import recordings
from stream.recogniser import Recogniser
from tests.documentation.pages import Block, blocks

PYTHON = os.environ.get("RILL_CLIENTS", sys.executable)
RECIPES = [
    pytest.param(block, id=f"{block.page.name}:{block.line}: {' '.join(block.needs)}")
    for block in blocks()
    if block.needs
]
ALIKE = 0.7  # share of words: telephones, and pauses that are cut elsewhere, change some


@pytest.fixture(scope="module")
def port() -> Iterator[int]:
    command = [sys.executable, "-m", "server", "--port", "0", "--slots", "4"]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdout=pipe, stderr=pipe, text=True) as process:
        assert process.stdout is not None and process.stderr is not None
        try:
            address = process.stdout.readline()
            found = re.search(r":(\d+)/", address)
            assert found, address + process.stderr.read()
            yield int(found[1])
        finally:
            process.terminate()
            process.communicate(timeout=30)


@pytest.fixture(scope="module")
def installed() -> set[str]:
    """The packages of the environment, by the names that pip compares."""
    listing = "import importlib.metadata as m; print(*{d.name for d in m.distributions()})"
    run = subprocess.run([PYTHON, "-c", listing], capture_output=True, text=True, check=True)
    return {re.sub(r"[-_.]+", "-", name).lower() for name in run.stdout.split()}


@pytest.mark.slow
@pytest.mark.parametrize("block", RECIPES)
def test_a_recipe_prints_what_was_said(
    block: Block, port: int, installed: set[str], tmp_path: Path
) -> None:
    if missing := {need.partition("[")[0] for need in block.needs} - installed:
        pytest.skip(f"not installed: {', '.join(sorted(missing))}; make clients runs it")
    recording = next(each for each in recordings() if len(each.text.split()) > 3)
    samples, rate = soundfile.read(recording.audio, dtype="int16")
    soundfile.write(tmp_path / "recording.wav", samples, rate, subtype="PCM_16")
    program = tmp_path / "recipe.py"
    program.write_text(block.text.replace("localhost:3030", f"127.0.0.1:{port}"))
    run = subprocess.run(
        [PYTHON, program], cwd=tmp_path, capture_output=True, text=True, timeout=120, check=False
    )
    assert run.returncode == 0, run.stderr[-2000:]
    expected = Recogniser().transcribe(recording.audio).text.split()
    alike = difflib.SequenceMatcher(None, expected, run.stdout.split()).ratio()
    assert alike >= ALIKE, f"{run.stdout}\n{run.stderr[-2000:]}"
