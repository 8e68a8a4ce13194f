"""What is in a model directory that is passed on: only what its index vouches for, and its card; and how large it is."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from export.card.page import CARD
from stream.backends import load_backend
from stream.errors import DifferenceError, InputError
from stream.model.directory import (
    CTC_GRAPH,
    GRAPHS,
    INDEX,
    INT8,
    INTEGER,
    NAMES,
    WEIGHTS,
    recognises,
)
from stream.model.network import Network, open_model

ALLOWED = NAMES | {INDEX, CARD}
ARITHMETICS = FLOAT32, EIGHT_BITS, INTEGERS, SHARED = "float32", "int8", "integers", "shared"


@dataclass(frozen=True)
class File:
    """A file of a model.

    Attributes:
        name, size: its name and bytes.
        arithmetic: which computes with it: of `ARITHMETICS`, "shared" where each does.
    """

    name: str
    size: int
    arithmetic: str


def check(model: Path) -> list[File]:
    """Check a model directory as one that is passed on, and return what is in it.

    Sizes and SHA-256 are as the index says, nothing else is there but the card, nothing is a link, and every graph
    can be opened.

    Raises:
        DifferenceError: one of these does not hold; the message names the file.
    """
    if not recognises(model):
        raise DifferenceError(f"{model}: has no {INDEX}, so it is not a model directory")
    for path in sorted(model.iterdir()):
        if path.is_symlink():
            raise DifferenceError(f"{path}: is a link; a bundle has the files themselves")
        if path.name not in ALLOWED or not path.is_file():
            raise DifferenceError(f"{path}: is not a file of a model; move it elsewhere")
    try:
        network = open_model(model)
        for backend in _backends(network, model):
            load_backend(backend, network)
    except InputError as error:
        raise DifferenceError(str(error)) from error
    names = sorted(path.name for path in model.iterdir())
    return [File(name, (model / name).stat().st_size, _arithmetic(name)) for name in names]


def _backends(network: Network, model: Path) -> Iterator[str]:
    """Yield the backends whose graphs are there."""
    there = {path.name for path in model.iterdir()}
    if there & {*GRAPHS, CTC_GRAPH}:
        yield "onnx"
    if there & INT8:
        yield "int8"
    if there & INTEGER:
        yield "integer-onnx"


def _arithmetic(name: str) -> str:
    if name in INT8:
        return EIGHT_BITS
    if name in INTEGER:
        return INTEGERS
    return FLOAT32 if name in {*GRAPHS, CTC_GRAPH, WEIGHTS} else SHARED


def report(files: list[File]) -> Iterator[str]:
    """Yield lines: each file with its arithmetic and bytes, then the sums."""
    width = max(len(file.name) for file in files)
    for file in files:
        yield f"{file.name:{width}}  {file.arithmetic:8}  {file.size:>12,}"
    of_each = ", ".join(
        f"{arithmetic} {total(some) / 1e6:.2f}"
        for arithmetic in ARITHMETICS
        if (some := [file for file in files if file.arithmetic == arithmetic])
    )
    yield f"{total(files) / 1e6:.2f} MB in {len(files)} files: {of_each}"


def total(files: list[File]) -> int:
    """Return the bytes of all files."""
    return sum(file.size for file in files)
