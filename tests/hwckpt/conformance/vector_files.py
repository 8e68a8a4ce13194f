"""Vector files in tests: their arrays, and whether a folder of them passes."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from hwckpt.conformance.comparison import Row, VectorError, read_vectors
from hwckpt.conformance.table import check_set, kinds

__all__ = ["arrays", "check", "failures", "passes"]


def arrays(path: Path) -> dict[str, Any]:
    """Return every array of a file, scalars too as arrays."""
    with np.load(path) as file:
        return {key: file[key] for key in file.files}


def check(path: Path) -> Iterator[Row]:
    """Yield the rows of one file."""
    for kind in kinds():
        if path.match(kind.pattern):
            yield from kind.check(read_vectors(path))


def failures(folder: Path) -> Iterator[str]:
    """Yield the stages that fail in a folder."""
    return (line.row.stage for line in check_set(folder) if line.row.verdict == "FAIL")


def passes(folder: Path) -> bool:
    """Whether all files of a folder are understood and pass."""
    try:
        return next(failures(folder), None) is None
    except VectorError:
        return False
