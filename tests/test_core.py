"""Every command in the core environment, which has no torch, onnx, matplotlib or sounddevice.

`--help` works, and a run that needs an optional package ends with status 4 and the command that
installs it. The environment is `.venv-core`, which `make test` makes; the code is the clone's.
"""

from __future__ import annotations

import json
import os
import subprocess
import zipfile
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import pytest

from server.rill.commands import commands
from stream.bundled import model_path, recordings
from tests.conftest import IN_CI
from tests.generate_docs import command_modules
from tests.places import REPOSITORY

pytestmark = pytest.mark.slow

CORE = REPOSITORY / ".venv-core" / "bin" / "python"
# A run of each command that needs an extra, and the extra; None where no run does.
# {model}: the bundled model; {checkpoint}: what only torch reads; {manifest}, {audio}: the bundled
# recordings; {folder}: an empty one.
NEEDS: dict[str, tuple[str, str] | None] = {
    "export.bundle": None,
    "export.card": None,
    "export.compare": ("train", "{model}:numpy {model}:torch --manifest {manifest}"),
    "export.hardware": None,
    "export.hwckpt": ("train", "--ckpt {checkpoint}"),
    "export.onnx": ("train", "--ckpt {model} --output {folder}/m --no-int8"),
    "export.random": ("train", "--shape testing --output {folder}/m"),
    "export.saturation": ("train", "--model {checkpoint} --manifest {manifest}"),
    "export.sherpa": ("train", "--ckpt {model} --output {folder}/m"),
    "export.verify": None,
    "hwckpt.conformance": None,
    "hwckpt.convert": None,
    "hwckpt.show": None,
    "hwckpt.vectors": None,
    "server": ("train", "--port 0 --model {checkpoint}"),
    "server.client.mic": ("mic", ""),
    "server.client.transcribe": None,
    "server.demo": None,
    "server.engine": None,
    "server.rill.completion": None,
    "server.rill.doctor": None,
    "server.tokens": None,
    "server.load": ("load", "{audio}"),
    "stream.validate": ("train", "--reset-stats --compare-full"),
    "train": ("train", "--config {config} --output {folder}/run"),
    "train.data": ("train", "check {manifest} --normalise lowercase"),
    "train.average": ("train", "{folder}/a.pt {folder}/b.pt --output {folder}/c.pt"),
    "train.blank_penalty": (
        "train",
        "{checkpoint} --manifest {manifest} --output {folder}/b.pt",
    ),
    "train.curves": None,
    "train.lm": None,
    "train.mel_stats": None,
    "train.recipe": None,
    "train.sweep": ("train", "{folder} --manifest {manifest}"),
    "train.tokenizer": (
        "train",
        "--manifest {manifest} --normalise lowercase --output {folder}/t.model",
    ),
}
MODULES = {name.removesuffix(".__main__") for name in command_modules()}
Ended = subprocess.CompletedProcess[str]


@pytest.fixture(scope="module")
def ended(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Future[Ended]]]:
    """How each run ends, by the words behind `python -m`; they run side by side."""
    if not CORE.exists():
        (pytest.fail if IN_CI else pytest.skip)(f"no {CORE}: run make setup")
    folder = tmp_path_factory.mktemp("core")
    checkpoint = folder / "best.pt"
    with zipfile.ZipFile(checkpoint, "w") as file:
        file.writestr("best/data.pkl", "rill_checkpoint")
    manifest = folder / "m.jsonl"
    first = recordings()[0]
    line = {"audio_filepath": str(first.audio), "text": first.text, "duration": first.duration}
    manifest.write_text(json.dumps(line) + "\n")
    places = {
        "model": model_path(),
        "checkpoint": checkpoint,
        "manifest": manifest,
        "audio": first.audio,
        "folder": folder,
        "config": REPOSITORY / "configs" / "en-commands.toml",
    }

    def run(words: str) -> Ended:
        given = [word.format(**places) for word in words.split()]
        environment = {**os.environ, "PYTHONPATH": str(REPOSITORY)}
        return subprocess.run(
            [str(CORE), "-m", *given], env=environment, cwd=folder, capture_output=True, text=True
        )

    lines = [f"{module} --help" for module in MODULES]
    lines += [f"{module} {need[1]}" for module, need in NEEDS.items() if need]
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        yield {line: pool.submit(run, line) for line in lines}


def test_every_command_is_in_the_table() -> None:
    assert NEEDS.keys() == MODULES


@pytest.mark.parametrize("module", sorted(MODULES))
def test_help_works_without_any_extra(module: str, ended: dict[str, Future[Ended]]) -> None:
    done = ended[f"{module} --help"].result()
    assert (done.returncode, done.stderr) == (0, "")
    named = {command.runs_as: f"rill {words}" for words, command in commands().items()}
    assert done.stdout.startswith(
        f"usage: {named.get(f'python -m {module}', f'python -m {module}')}"
    )


@pytest.mark.parametrize("module", [name for name, need in NEEDS.items() if need])
def test_a_missing_extra_is_status_4_and_a_command_that_installs_it(
    module: str, ended: dict[str, Future[Ended]]
) -> None:
    need = NEEDS[module]
    assert need is not None
    extra, arguments = need
    done = ended[f"{module} {arguments}"].result()
    assert done.returncode == 4, done.stderr
    assert f"{CORE} -m pip install -e '{REPOSITORY}[{extra}]'" in done.stderr
    assert "Traceback" not in done.stderr


def test_the_installed_rill_is_ours_in_a_folder_with_files_of_the_same_names(
    tmp_path: Path, ended: dict[str, Future[Ended]]
) -> None:
    (tmp_path / "server").mkdir()
    for name in ("train.py", "stream.py", "server/__init__.py"):
        (tmp_path / name).write_text("raise SystemExit('the file of the user')")
    environment = {k: v for k, v in os.environ.items() if not k.startswith("PYTHON")}
    recording = recordings()[0]
    done = subprocess.run(
        [CORE.with_name("rill"), "transcribe", recording.audio],
        env=environment,
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    assert (done.returncode, done.stdout) == (0, f"{recording.text}\n"), done.stderr
