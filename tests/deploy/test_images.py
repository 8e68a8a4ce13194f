"""The container files: what they copy is there, and their steps make environments that serve and train.

No container engine is needed: `tests.deploy.container` runs the steps in folders. It takes minutes and gigabytes, so the
tests that do so run where $RILL_IMAGES is set (`make images`).
"""

from __future__ import annotations

import json
import os
import re
import subprocess
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


def environment(name: str, root: Path, place: Path, **given: str) -> dict[str, str]:
    """Return the environment of an image, whose folders are those of a stage and of `place`."""
    made = {"PATH": f"{root}/opt/rill/bin:/usr/bin:/bin", "HOME": str(place)}
    for rest in rests(read(DEPLOY / name), "ENV"):
        for pair in expanded(rest, given).split():
            variable, _, value = pair.partition("=")
            made.setdefault(variable, re.sub(r"^(general=)?/opt/", rf"\1{root}/opt/", value))
    return made


@engineless
@pytest.mark.slow
@pytest.mark.parametrize("model", ["", "models/en-commands"])
def test_the_servers_steps_make_an_environment_that_transcribes(
    model: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    stage = build(DEPLOY / "Containerfile", REPOSITORY, tmp_path / "stages", {"MODEL": model})
    variables = environment("Containerfile", stage.root, tmp_path, MODEL=model)
    python = stage.root / "opt" / "rill" / "bin" / "python"
    baked = [f"{stage.root}/opt/model"] if model else []
    for command in (["-m", "server", "--print-config"], ["-c", TRANSCRIBE, *baked]):
        run = subprocess.run(
            [python, *command], env=variables, cwd=tmp_path, capture_output=True, text=True
        )
        assert run.returncode == 0 and run.stdout.strip(), run.stderr
    with capsys.disabled():
        print(f"\n{size(stage.root) / 1e6:.0f} MB besides Python's image")


@engineless
@pytest.mark.slow
def test_the_trainings_steps_make_an_environment_that_runs_a_recipe(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from tests.train.recipe.conftest import corpus

    recipe = "tests/train/recipe/greek"
    stage = build(
        DEPLOY / "Containerfile.train", REPOSITORY, tmp_path / "stages", {"RECIPE": recipe}
    )
    corpus(tmp_path / "data")
    (tmp_path / "output").mkdir()
    variables = environment("Containerfile.train", stage.root, tmp_path, RECIPE=recipe)
    variables |= {"RILL_DATA": str(tmp_path / "data"), "RILL_OUTPUT": str(tmp_path / "output")}
    variables |= {"NUMBA_CACHE_DIR": str(tmp_path / "numba"), "MPLCONFIGDIR": str(tmp_path / "mpl")}
    command = [stage.root / "opt" / "rill" / "bin" / "python", "-m", "train.recipe"]
    run = subprocess.run(
        command, env=variables, cwd=tmp_path / "output", capture_output=True, text=True
    )
    assert run.returncode == 0, run.stdout + run.stderr
    assert (tmp_path / "output" / "el.tar.gz").is_file()
    with capsys.disabled():
        print(f"\n{size(stage.root) / 1e6:.0f} MB besides Python's image")
