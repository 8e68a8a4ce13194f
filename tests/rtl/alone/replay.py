"""A bench of one module: rows of numbers go in, rows of numbers come out."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from tests.rtl.simulators import Parameters, Simulator

__all__ = ["UNKNOWN", "Ints", "replay", "write_rows"]

Ints = NDArray[Any]
UNKNOWN = -1  # what a simulator with four states says of a word that was never written


def write_rows(path: Path, rows: Iterable[Sequence[int]]) -> None:
    """Write rows in hexadecimal, a line each; none is negative."""
    lines = [" ".join(f"{value:x}" for value in row) for row in rows]
    path.write_text("".join(f"{line}\n" for line in lines))


def replay(
    simulator: Simulator,
    folder: Path,
    bench: str,
    parameters: Parameters,
    rows: Iterable[Sequence[int]],
    *options: str,
) -> list[list[int]]:
    """Return what a bench of rtl/bench writes, a row a line, when it is given rows.

    Args:
        folder: where it is built and run; made if it is not there.
        options: plusargs of the bench.
    """
    folder.mkdir(parents=True, exist_ok=True)
    write_rows(folder / "x.hex", rows)
    simulator.run(bench, parameters, folder, ("x=x.hex", "trace=trace.hex", *options))
    lines = (folder / "trace.hex").read_text().splitlines()
    return [[UNKNOWN if "x" in word else int(word, 16) for word in line.split()] for line in lines]
