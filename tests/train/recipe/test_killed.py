"""A recipe that is killed at any moment and started again ends with the same files as one that was not."""

from __future__ import annotations

import contextlib
import hashlib
import os
import random
import select
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.places import REPOSITORY
from tests.train.recipe.conftest import GREEK, Made

# Words of the commands, by where a step stands: one of each is killed.
STEPS = {
    "before": ("data prepare", "data split", "tokenizer --manifest", "statistics", "lm build"),
    "training": ("greek/soft.toml --output", "greek/hard.toml --output"),
    "after": ("export onnx", "validate", "export card", "export bundle"),
}
# What says when something was done, or how fast; and a run's states to resume from, which name the output folder.
CLOCKED = {"steps.json", "metrics.jsonl", ".lock"}
STATES = {"events", "resumable", "last.pt"}


def hashes(output: Path) -> dict[str, str]:
    """Return the SHA-256 of each file that depends on nothing but data and configuration."""
    files = [path.relative_to(output) for path in output.rglob("*") if path.is_file()]
    return {
        str(path): hashlib.sha256((output / path).read_bytes()).hexdigest()
        for path in sorted(files)
        if path.name not in CLOCKED and not STATES & set(path.parts)
    }


@pytest.mark.slow
def test_a_recipe_that_is_killed_before_in_and_after_training_and_started_again_ends_the_same(
    greek: Made, tmp_path: Path
) -> None:
    output = tmp_path / "out"
    seed = random.randrange(2**32)
    moments = random.Random(seed)
    for commands in STEPS.values():
        words = moments.choice(commands)
        seconds = moments.uniform(0.0, greek.seconds(words))
        with greek.start(output, words, seconds) as process:
            printed, _ = process.communicate()
        assert process.returncode == -signal.SIGKILL, f"seed {seed}, {words}: {printed}"
    with greek.start(output, "", 0.0) as process:
        printed, _ = process.communicate()
    assert process.returncode == 0, f"seed {seed}: {printed}"
    expected = hashes(greek.output)
    assert {
        "model/greek/weights.safetensors",
        "model/greek/model.json",
        "el.tar.gz",
        "hard/best.pt",
    } <= set(expected)
    assert hashes(output) == expected, f"seed {seed}"


def opened(pipe: Path, process: subprocess.Popen[bytes]) -> int:
    """Return a descriptor to write to a named pipe with, as soon as a step of the process reads it."""
    while process.poll() is None:
        with contextlib.suppress(OSError):  # nobody reads yet
            return os.open(pipe, os.O_WRONLY | os.O_NONBLOCK)
        time.sleep(0.05)
    raise AssertionError(process.communicate()[1].decode())


@pytest.mark.skipif(sys.platform != "linux", reason="other kernels let the step run on")
@pytest.mark.parametrize(
    ("number", "status"),
    [(signal.SIGTERM, 128 + signal.SIGINT), (signal.SIGKILL, -signal.SIGKILL)],
)
def test_the_step_that_runs_ends_with_the_recipe(
    number: signal.Signals, status: int, tmp_path: Path
) -> None:
    recipe, manifest = tmp_path / "greek", tmp_path / "manifest.jsonl"
    recipe.mkdir()
    for name in ("soft.toml", "language.py"):
        (recipe / name).write_bytes((GREEK / name).read_bytes())
    before = f'before = ["rill data check {manifest}"]'  # which waits until somebody writes there
    (recipe / "recipe.toml").write_text(f'stages = ["{{recipe}}/soft.toml"]\n{before}\n')
    os.mkfifo(manifest)
    command = [sys.executable, "-m", "train.recipe", recipe, "--output", tmp_path / "out"]
    with subprocess.Popen(command, cwd=REPOSITORY, stderr=subprocess.PIPE) as process:
        writer = opened(manifest, process)
        process.send_signal(number)
        gone = select.poll()
        gone.register(writer, select.POLLERR)
        assert gone.poll(20_000), "the step reads on"
        os.close(writer)
        assert process.wait(20) == status
