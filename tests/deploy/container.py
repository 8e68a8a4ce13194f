"""Container files as data, and their steps without a container engine: in folders, as the user who runs them."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

# Of a container's file system, what a stage has a folder for; other paths are those of this machine.
OWN = re.compile(r"(?<![\w/.])/(?=(?:opt|data|output|tmp)\b)")
PYTHON = Path(sys.executable)
PATH = "/usr/local/bin:/usr/bin:/bin"  # of Python's image, which has its python in the first
Copy = Callable[[Path, Path], object]
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
        arguments: of ARG, known to its own steps alone.
        variables: of ENV.
    """

    root: Path
    folder: str = "/"
    arguments: dict[str, str] = field(default_factory=dict)
    variables: dict[str, str] = field(default_factory=dict)

    def environment(self) -> dict[str, str]:
        """Return the variables of a container that is run from it, with the paths that they have here."""
        return {name: self.here(value) for name, value in self.variables.items()}

    def here(self, text: str) -> str:
        """Return a text with the paths of the container that it names as they are here."""
        return OWN.sub(f"{self.root}/", text).replace("/usr/local/bin", str(PYTHON.parent))

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

    Every stage has the files that its own steps make and no others. Commands run with the Python of this process and an
    environment of PATH and HOME, besides what tells pip where packages are. What a stage copies from another it links.

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
        words = expanded(instruction.rest, stage.arguments | stage.variables).split()
        match instruction.name:
            case "FROM":
                stage = Stage(place / str(len(stages)), variables={"PATH": PATH})
                stage.root.mkdir(parents=True)
                stages[words[2] if len(words) > 1 else "last"] = stage
            case "ARG":
                name, _, default = words[0].partition("=")
                stage.arguments[name] = arguments.get(name, default)
            case "ENV":
                for pair in words:
                    name, _, value = pair.partition("=")
                    stage.variables[name] = value
            case "WORKDIR":
                stage.folder = words[0]
                stage.path(".").mkdir(parents=True, exist_ok=True)
            case "COPY":
                source, copy = context, shutil.copy2
                if words[0].startswith("--from="):
                    source, copy = stages[words.pop(0).removeprefix("--from=")].root, os.link
                _copy([source / word.lstrip("/") for word in words[:-1]], stage, words[-1], copy)
            case "RUN":
                _run(instruction.rest, stage)
    return stage


def _copy(sources: list[Path], stage: Stage, target: str, copy: Copy) -> None:
    """Copy files into a folder whose name ends in a slash or that has several, and what a folder holds into another."""
    place = stage.path(target)
    for source in sources:
        if source.is_dir():
            shutil.copytree(source, place, symlinks=True, copy_function=copy, dirs_exist_ok=True)
        else:
            into = target.endswith("/") or place.is_dir()
            file = place / source.name if into else place
            file.parent.mkdir(parents=True, exist_ok=True)
            copy(source, file)


def _run(command: str, stage: Stage) -> None:
    command = stage.here(command)
    environment = {"HOME": str(stage.root), **stage.arguments, **stage.environment()}
    environment |= {name: value for name, value in os.environ.items() if name.startswith("PIP_")}
    run = subprocess.run(
        command, shell=True, cwd=stage.path("."), env=environment, capture_output=True, text=True
    )
    if run.returncode:
        raise RuntimeError(f"{command}\n{run.stdout}{run.stderr}")
