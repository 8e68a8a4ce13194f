"""A recipe that is killed at any moment and started again ends with the same files as one that was not."""

from __future__ import annotations

import hashlib
import random
import subprocess
from pathlib import Path

import pytest

from tests.train.recipe.conftest import Made

KILLS = 2
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
def test_a_recipe_that_is_killed_and_started_again_ends_the_same(
    greek: Made, tmp_path: Path
) -> None:
    output = tmp_path / "out"
    seed = random.randrange(2**32)
    moments = random.Random(seed)
    for _ in range(KILLS):
        with greek.start(output) as process:
            try:
                process.communicate(timeout=moments.uniform(0.2, 1.0) * greek.seconds)
            except subprocess.TimeoutExpired:
                process.kill()
    with greek.start(output) as process:
        printed, _ = process.communicate()
    assert process.returncode == 0, f"seed {seed}: {printed}"
    expected = hashes(greek.output)
    assert {"model/greek/weights.safetensors", "el.tar.gz", "hard/best.pt"} <= set(expected)
    assert hashes(output) == expected, f"seed {seed}"
