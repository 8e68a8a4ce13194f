"""The container files: what they copy is there, and their steps make environments that serve and train.

No container engine is needed: `tests.deploy.container` runs the steps in folders. It takes minutes and gigabytes, so the
tests that do so run where $RILL_IMAGES is set (`make images`).
"""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import time
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.deploy.container import Instruction, build, expanded, read
from tests.places import REPOSITORY

DEPLOY = REPOSITORY / "deploy"
FILES = ("Containerfile", "Containerfile.train")
INSTRUCTIONS = {
    "ADD", "ARG", "CMD", "COPY", "ENTRYPOINT", "ENV", "EXPOSE", "FROM", "HEALTHCHECK", "LABEL", "RUN", "SHELL",
    "STOPSIGNAL", "USER", "VOLUME", "WORKDIR",
}  # fmt: skip
TRAIN = read(DEPLOY / "Containerfile.train")
LOCK = (REPOSITORY / "requirements" / "dev.txt").read_text()
TRANSCRIBE = """
import sys
from stream.bundled import recordings
from stream.recogniser import Recogniser
print(Recogniser(*sys.argv[1:]).transcribe(recordings()[0].audio).text)
"""
NOBODY = 54321  # a user without a name
# May read all, since the Python of this process may be one of root's own, and write nothing but what is its own.
READS = "-all,+dac_read_search"
AS_ANYBODY = (
    ["setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups", f"--inh-caps={READS}"]
    + [f"--ambient-caps={READS}", f"--bounding-set={READS}", "--"]
    if os.geteuid() == 0 and shutil.which("setpriv")
    else []  # nobody but root may be another one
)
engineless = pytest.mark.skipif(
    not os.environ.get("RILL_IMAGES"), reason="takes minutes and gigabytes: make images"
)


def rests(instructions: list[Instruction], name: str) -> list[str]:
    return [each.rest for each in instructions if each.name == name]


def defaults(instructions: list[Instruction]) -> dict[str, str]:
    pairs = [rest.partition("=") for rest in rests(instructions, "ARG")]
    return {name: value for name, _, value in pairs}


@pytest.mark.parametrize("name", FILES)
def test_a_container_file_is_well_formed(name: str) -> None:
    instructions = read(DEPLOY / name)
    assert {each.name for each in instructions} <= INSTRUCTIONS
    assert instructions[0].name == "FROM"
    stages = [rest.split() for rest in rests(instructions, "FROM")]
    assert all(re.fullmatch(r"\S+/\S+:\d[\w.-]*", stage[0]) for stage in stages)  # a version
    named = {stage[2] for stage in stages if len(stage) == 3 and stage[1] == "AS"}
    assert set(re.findall(r"--from=(\S+)", " ".join(rests(instructions, "COPY")))) <= named
    rest = " ".join(each.rest for each in instructions if each.name != "ARG")
    for argument in defaults(instructions):
        assert re.search(rf"\$\{{?{argument}\b", rest), argument
    for installs in (each for each in rests(instructions, "RUN") if " pip install" in each):
        assert "--no-cache-dir" in installs
    users = rests(instructions, "USER")
    assert users and all(re.fullmatch(r"[1-9]\d*:[1-9]\d*", user) for user in users)
    for entry in rests(
        instructions, "ENTRYPOINT"
    ):  # not a shell, which would keep signals to itself
        assert json.loads(entry)[:2] == ["python", "-m"]


@pytest.mark.parametrize("name", FILES)
def test_what_a_container_file_copies_is_there(name: str) -> None:
    instructions = read(DEPLOY / name)
    for rest in rests(instructions, "COPY"):
        if not rest.startswith("--from"):
            *sources, _ = expanded(rest, defaults(instructions)).split()
            assert [source for source in sources if not (REPOSITORY / source).exists()] == []


def test_training_installs_extras_that_there_are_in_the_versions_of_the_lock() -> None:
    torch, rill = [run for run in rests(TRAIN, "RUN") if " pip install" in run]
    assert "^torch==" in torch and re.search("(?m)^torch==", LOCK)
    assert "--constraint requirements/dev.txt" in rill
    extras = re.search(r"'\.\[(.+)\]'", rill)
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]
    assert extras and {"train", "data"} <= set(extras[1].split(","))
    assert set(extras[1].split(",")) <= set(project["optional-dependencies"])


def test_the_training_image_sets_flags_of_the_recipe_for_the_folders_that_are_mounted() -> None:
    pytest.importorskip("torch")
    from train.recipe.knobs import VARIABLES

    variables = dict(pair.split("=", 1) for pair in " ".join(rests(TRAIN, "ENV")).split())
    assert json.loads(rests(TRAIN, "ENTRYPOINT")[0]) == ["python", "-m", "train.recipe"]
    flags = {name: value for name, value in variables.items() if name.startswith("RILL_")}
    assert flags.keys() <= set(VARIABLES.values())
    service: dict[str, Any] = yaml.safe_load((DEPLOY / "compose.yaml").read_text())["services"][
        "train"
    ]
    assert (
        service["profiles"] == ["train"]
        and service["build"]["dockerfile"] == "deploy/Containerfile.train"
    )
    assert set(service["environment"]) <= set(VARIABLES.values())
    assert service["build"]["args"].keys() == defaults(TRAIN).keys()
    targets = {
        volume.split(":")[-2 if volume.endswith(":ro") else -1] for volume in service["volumes"]
    }
    assert {flags["RILL_DATA"], flags["RILL_OUTPUT"], "/tmp"} == targets
    writable = {variables["HOME"], variables["NUMBA_CACHE_DIR"], variables["MPLCONFIGDIR"]}
    assert all(place.startswith("/tmp") for place in writable)


def size(folder: Path) -> int:
    """Return the bytes of a folder's files."""
    return sum(
        path.stat().st_size
        for path in folder.rglob("*")
        if path.is_file() and not path.is_symlink()
    )


@engineless
@pytest.mark.slow
@pytest.mark.parametrize("model", ["", "models/en-commands"])
def test_the_servers_steps_make_an_environment_that_transcribes(
    model: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    stage = build(DEPLOY / "Containerfile", REPOSITORY, tmp_path / "stages", {"MODEL": model})
    python = stage.path("/opt/rill/bin/python")
    baked = [stage.path("/opt/model")] if model else []
    for command in (["-m", "server", "--print-config"], ["-c", TRANSCRIBE, *baked]):
        run = subprocess.run(
            [python, *command],
            env=stage.environment(),
            cwd=stage.path("."),
            capture_output=True,
            text=True,
        )
        assert run.returncode == 0 and run.stdout.strip(), run.stderr
    with capsys.disabled():
        print(f"\n{size(stage.root) / 1e6:.0f} MB besides Python's image")


@engineless
@pytest.mark.slow
def test_the_trainings_steps_make_an_environment_that_trains_as_any_user_and_goes_on_when_killed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from tests.train.recipe.conftest import corpus

    recipe = "tests/train/recipe/greek"
    file, stages = DEPLOY / "Containerfile.train", tmp_path / "stages"
    stage = build(file, REPOSITORY, stages, {"RECIPE": recipe})
    megabytes = size(stage.root) / 1e6
    corpus(stage.path("/data"))
    output = stage.path("/output")
    stage.path("/tmp").mkdir(0o1777)
    stage.path("/tmp").chmod(0o1777)
    variables = stage.environment() | {"TMPDIR": str(stage.path("/tmp"))}
    # As `podman run --env` gives them: few updates, and a state to resume from after each.
    variables |= {"RILL_UPDATES": "6", "RILL_VALIDATE_EVERY": "6", "RILL_CHECKPOINT_EVERY": "1"}
    variables["OMP_NUM_THREADS"] = "1"  # quicker beside other work

    def start() -> subprocess.Popen[str]:
        return subprocess.Popen(
            [*AS_ANYBODY, stage.path("/opt/rill/bin/python"), "-m", "train.recipe"],
            env=variables,
            cwd=output,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    with start() as process:
        while process.poll() is None and not list(output.glob("soft/resumable/*.pt")):
            time.sleep(0.1)
        process.kill()
        printed, _ = process.communicate()
    assert process.returncode == -signal.SIGKILL, printed
    assert "soft runs" in printed and not (output / "soft" / "best.pt").exists()
    with start() as process:
        printed, _ = process.communicate()
    assert process.returncode == 0, printed
    assert "tokenizer done before" in printed and "soft runs" in printed
    assert (output / "el.tar.gz").is_file()
    if AS_ANYBODY:
        assert {path.stat().st_uid for path in output.rglob("*")} == {NOBODY}
    with capsys.disabled():
        print(f"\n{megabytes:.0f} MB besides Python's image")
