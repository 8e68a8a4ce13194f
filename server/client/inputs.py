"""Inputs of a command: files, folders, patterns and standard input, as recordings to read.

1. A folder stands for all recordings in it and in its folders, by name: what is hidden, and what has no
   suffix of audio or video, is passed over.
2. A pattern (`*`, `?`, `[...]`, `**` for folders) stands for what it fits, unless there is a file of
   that very name. A shell that knows patterns has replaced them before.
3. `-` is standard input.
"""

from __future__ import annotations

import glob
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from stream.errors import ArgumentError, InputError

STANDARD_INPUT = Path("/dev/stdin")
# What a recording is called; some of them are refused by name when they are read.
SUFFIXES = frozenset(
    [
        ".3gp",
        ".aac",
        ".aif",
        ".aifc",
        ".aiff",
        ".amr",
        ".au",
        ".caf",
        ".flac",
        ".m4a",
        ".mka",
        ".mkv",
        ".mov",
        ".mp3",
        ".mp4",
        ".oga",
        ".ogg",
        ".opus",
        ".rf64",
        ".snd",
        ".sph",
        ".w64",
        ".wav",
        ".webm",
        ".wma",
    ]
)


@dataclass(frozen=True)
class Input:
    """A recording to read.

    Attributes:
        path: where it lies.
        name: by which it is shown: as it was given, or within the folder that was.
        place: what its files are called in a folder of results, without a suffix.
    """

    path: Path
    name: str
    place: Path

    def target(self, folder: Path, suffix: str) -> Path:
        """Return where in a folder a file about it belongs."""
        return folder / self.place.with_name(self.place.name + suffix)


def find(names: Iterable[str]) -> list[Input]:
    """Return the recordings that a command line names, in its order, each once.

    Raises:
        InputError: a folder holds no recording, or nothing fits a pattern.
    """
    found: dict[Path, Input] = {}
    for name in names:
        for each in _found(name):
            found.setdefault(each.path, each)
    return list(found.values())


def check_targets(inputs: Iterable[Input], folder: Path, suffix: str) -> None:
    """Raise `ArgumentError` where the results of two recordings would be the same file."""
    taken: dict[Path, Input] = {}
    for each in inputs:
        target = each.target(folder, suffix)
        if (other := taken.setdefault(target, each)) is not each:
            raise ArgumentError(
                f"{other.path} and {each.path} would both be written to {target}: "
                "transcribe them into different folders"
            )


def _found(name: str) -> Iterator[Input]:
    path = Path(name)
    if name == "-":
        yield Input(STANDARD_INPUT, "standard input", Path("stdin"))
    elif path.is_dir():
        yield from _in_folder(path)
    elif glob.has_magic(name) and not path.exists():
        matches = sorted(glob.glob(name, recursive=True))
        if not matches:
            raise InputError(f"nothing fits {name}")
        for match in matches:
            yield from _found(match) if Path(match).is_dir() else _in_itself(Path(match))
    else:
        yield from _in_itself(path)


def _in_folder(folder: Path) -> Iterator[Input]:
    inside = sorted(path.relative_to(folder) for path in folder.rglob("*"))
    recordings = [
        path
        for path in inside
        if path.suffix.lower() in SUFFIXES and not any(part[0] == "." for part in path.parts)
    ]
    if not recordings:
        raise InputError(f"{folder}: holds no recording, by the names of its files")
    for path in recordings:
        yield Input(folder / path, str(folder / path), path.with_suffix(""))


def _in_itself(path: Path) -> Iterator[Input]:
    yield Input(path, str(path), Path(path.stem))
