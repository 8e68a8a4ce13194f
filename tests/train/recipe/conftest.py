"""A corpus of Greek words and the recipe `greek` for it, run in a process that can be killed."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import soundfile

from tests.places import REPOSITORY

# Names of files, as the corpus has them: the words that are said.
FILES = ["Ένα", "δύο", "Τρία", "ένα_δύο", "ΔΎΟ_3", "1_2_3"]
GREEK = Path(__file__).parent / "greek"
START = "import sys, torch; torch.set_num_threads(1); from tests.train.recipe.conftest import here; sys.exit(here())"


@dataclass(frozen=True)
class Made:
    """What the recipe has made.

    Attributes:
        output: the folder of all its output.
        table: the lines that it printed.
        start: starts it again, for another folder of output. Of a step, words of its command, and seconds: when that
            step has run for so long, or ends earlier, the process is killed.
    """

    output: Path
    table: list[str]
    start: Callable[[Path, str, float], subprocess.Popen[str]]

    def seconds(self, words: str) -> float:
        """Return what the steps with these words in their command took."""
        states = json.loads((self.output / "steps.json").read_text())
        return sum(state["seconds"] for line, state in states.items() if words in line)


def kill() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def here() -> int:
    """Run a recipe with its steps in this process: one start of Python in place of twelve."""
    from server.rill.__main__ import main as rill
    from train.recipe import __main__

    words, seconds = os.environ.pop("KILL_WORDS"), float(os.environ.pop("KILL_SECONDS"))

    def run(command: list[str], **_: object) -> subprocess.CompletedProcess[str]:
        killed = words and words in " ".join(command)
        if killed:
            threading.Timer(seconds, kill).start()
        status = rill(command[3:])
        if killed:
            kill()
        return subprocess.CompletedProcess(command, status)

    __main__.subprocess.run = run  # type: ignore[assignment]
    return __main__.main(sys.argv[1:])


def corpus(folder: Path) -> None:
    """Write recordings of some speakers; of tones, which nobody has to understand here."""
    for number in range(4):
        speaker = folder / "Q36510-ell-Greek" / f"speaker {number}"
        speaker.mkdir(parents=True)
        for pitch, name in enumerate(FILES):
            moments = np.arange(6000 + 900 * number) / 16000
            noise = 0.01 * np.random.default_rng(pitch).standard_normal(len(moments))
            tone = 0.3 * np.sin(2 * np.pi * 300 * (1 + pitch) * moments) + noise
            soundfile.write(speaker / f"{name}.wav", tone, 16000)


@pytest.fixture(scope="session")
def greek(tmp_path_factory: pytest.TempPathFactory) -> Made:
    """The recipe after one run, from a folder that is not the repository's."""
    pytest.importorskip("torch")
    place = tmp_path_factory.mktemp("greek")
    corpus(place / "data")
    environment = {name: each for name, each in os.environ.items() if name[:5] != "RILL_"}
    environment |= {"PYTHONPATH": str(REPOSITORY), "OMP_NUM_THREADS": "1"}

    def start(output: Path, words: str = "", seconds: float = 0.0) -> subprocess.Popen[str]:
        command = [sys.executable, "-c", START, str(GREEK), "--data", str(place / "data")]
        command += ["--output", str(output), "--set", "checkpoint_every=1"]
        return subprocess.Popen(
            command,
            cwd=place,
            env=environment | {"KILL_WORDS": words, "KILL_SECONDS": str(seconds)},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    with start(place / "out") as process:
        printed, _ = process.communicate()
    assert process.returncode == 0, printed
    return Made(place / "out", printed.splitlines(), start)
