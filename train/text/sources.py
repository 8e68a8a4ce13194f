"""Texts that are no transcripts: lines of a file, or what a Python file gives.

A Python file has a function `sentences() -> Iterable[str]` and, for a synthesiser, may have `spoken(text: str) -> str`, which
says how a text is read out. It is run where a command names it, never because a model does.
"""

from __future__ import annotations

import runpy
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from stream.errors import ArgumentError, InputError
from stream.files.text import TextError, read_lines


def texts_of(path: Path) -> Iterator[str]:
    """Yield the texts of a file: those of `sentences`, or its lines.

    Raises:
        ArgumentError: there is no such Python file, or it has no such function.
        InputError: the file cannot be read.
    """
    if path.suffix == ".py":
        sentences = _function(path, "sentences")
        if sentences is None:
            raise ArgumentError(f"{path}: has no function sentences(), which gives texts")
        yield from sentences()
        return
    try:
        yield from (line for _, line in read_lines(path))
    except TextError as error:
        raise InputError(f"{path}: {error}") from error


def reading_of(path: Path) -> Callable[[str], str]:
    """Return how the texts of a file are read out: by its function `spoken`, or as they are written.

    Raises:
        ArgumentError: there is no such Python file.
    """
    spoken = _function(path, "spoken") if path.suffix == ".py" else None
    return spoken or str


def _function(path: Path, name: str) -> Callable[..., Any] | None:
    if not path.is_file():
        raise ArgumentError(f"{path}: there is no such file")
    found = runpy.run_path(str(path)).get(name)
    return found if callable(found) else None
