"""Container files as data, and their steps without a container engine: in folders, as the user who runs them."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

VARIABLE = re.compile(r"\$(?:(\w+)|\{(\w+)(?::([+-])([^}]*))?\})")


@dataclass(frozen=True)
class Instruction:
    """A line of a container file, continued lines joined: its first word, and the rest."""

    name: str
    rest: str


@dataclass
class Stage:
    """A stage of a build.

    Attributes:
        root: stands for the root of its file system.
        folder: the working directory in it.
        variables: of ARG and ENV.
    """

    root: Path
    folder: str = "/"
    variables: dict[str, str] = field(default_factory=dict)

    def path(self, name: str) -> Path:
        """Return the place of a path of the container."""
        return self.root / os.path.normpath(os.path.join(self.folder, name)).lstrip("/")


def read(path: Path) -> list[Instruction]:
    """Return the instructions of a container file."""
    lines = [line for line in path.read_text().splitlines() if line and line[0] != "#"]
    joined = "\n".join(lines).replace("\\\n", " ")
    parts = [line.split(maxsplit=1) for line in joined.splitlines()]
    return [Instruction(name, rest.strip()) for name, rest in parts]


def expanded(text: str, variables: Mapping[str, str]) -> str:
    """Return a text with $NAME, ${NAME}, ${NAME:-word} and ${NAME:+word} filled in."""

    def value(found: re.Match[str]) -> str:
        given = variables.get(found[1] or found[2], "")
        if found[3] == "-":
            return given or found[4]
        return (found[4] if given else "") if found[3] == "+" else given

    return VARIABLE.sub(value, text)


def build(file: Path, context: Path, place: Path, arguments: Mapping[str, str]) -> Stage:
    """Run the steps of a container file and return its last stage.

    Every stage has the files that its own steps make and no others, and commands run with the Python of this process
    and an environment of PATH and HOME alone. Paths that begin with /opt are those of the stage.

    Args:
        context: the folder that COPY takes from.
        place: an empty folder.
        arguments: of the build, by name.
    Raises:
        RuntimeError: a command failed.
    """
    stages: dict[str, Stage] = {}
    stage = Stage(place)
    for instruction in read(file):
        words = expanded(instruction.rest, stage.variables).split()
        match instruction.name:
            case "FROM":
                stage = Stage(place / str(len(stages)))
                stage.root.mkdir(parents=True)
                stages[words[2] if len(words) > 1 else "last"] = stage
            case "ARG":
                name, _, default = words[0].partition("=")
                stage.variables[name] = arguments.get(name, default)
            case "ENV":
                for pair in words:
                    name, _, value = pair.partition("=")
                    stage.variables[name] = value
            case "WORKDIR":
                stage.folder = words[0]
                stage.path(".").mkdir(parents=True, exist_ok=True)
            case "COPY":
                source = context
                if words[0].startswith("--from="):
                    source = stages[words.pop(0).removeprefix("--from=")].root
                _copy([source / word.lstrip("/") for word in words[:-1]], stage, words[-1])
            case "RUN":
                _run(instruction.rest, stage)
    return stage


def _copy(sources: list[Path], stage: Stage, target: str) -> None:
    """Copy files into a folder whose name ends in a slash or that has several, and what a folder holds into another."""
    place = stage.path(target)
    for source in sources:
        if source.is_dir():
            shutil.copytree(source, place, symlinks=True, dirs_exist_ok=True)
        else:
            into = target.endswith("/") or place.is_dir()
            (place if into else place.parent).mkdir(parents=True, exist_ok=True)
            shutil.copy2(source, place)


def _run(command: str, stage: Stage) -> None:
    command = re.sub(r"(?<![\w/.])/(?=opt/|output\b)", f"{shlex.quote(str(stage.root))}/", command)
    own = Path(sys.executable).parent
    environment = {"PATH": f"{own}:/usr/bin:/bin", "HOME": str(stage.root), **stage.variables}
    environment |= {name: value for name, value in os.environ.items() if name.startswith("PIP_")}
    run = subprocess.run(
        command, shell=True, cwd=stage.path("."), env=environment, capture_output=True, text=True
    )
    if run.returncode:
        raise RuntimeError(f"{command}\n{run.stdout}{run.stderr}")
