"""Rows of the conformance table: what was compared, by which backend, how far apart, what is allowed.

A check is a function of a vector file that yields rows; `hwckpt.check_*` and `hwckpt.conformance.check_training` hold
them, `hwckpt.conformance` runs them. Tolerances are those of NUMERICS section 8. A vector file whose
keys or shapes are not understood raises `VectorError`.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeAlias
from zipfile import BadZipFile

import numpy as np

from stream.errors import InputError

__all__ = [
    "Arrays",
    "Check",
    "Row",
    "VectorError",
    "compare",
    "exact",
    "installed",
    "load",
    "skipped",
]

Arrays: TypeAlias = Mapping[str, Any]
Verdict = Literal["ok", "FAIL", "skipped"]


class VectorError(InputError):
    """A vector file that is not understood: a key is missing, or arrays do not fit together."""


@dataclass(frozen=True)
class Row:
    """One line of the table.

    Attributes:
        stage: what was computed.
        backend: what computed it.
        largest, mean: absolute differences, in the stage's own unit; tokens and texts count
            elements that differ.
        allowed: the largest difference that passes.
        note: the reason of a skip, or where the largest difference is.
    """

    stage: str
    backend: str
    largest: float
    mean: float
    allowed: float
    note: str = ""
    skip: Literal["skipped"] | None = None

    @property
    def verdict(self) -> Verdict:
        """Whether it passes; a difference that is not a number does not."""
        return self.skip or ("ok" if self.largest <= self.allowed else "FAIL")


Check: TypeAlias = Callable[[Path], Iterator[Row]]


def load(path: Path) -> Arrays:
    """Read a vector file, nothing executed; scalars become Python values.

    Raises:
        VectorError: it is not an .npz file of plain arrays.
    """
    try:
        with path.open("rb") as raw, np.load(raw, allow_pickle=False) as file:
            found = {name: file[name] for name in file.files}
    except (OSError, ValueError, EOFError, KeyError, BadZipFile) as error:
        raise VectorError(f"{path}: not a vector file: {error}") from error
    return _Named({k: v.item() if v.ndim == 0 else v for k, v in found.items()}, path)


class _Named(dict[str, Any]):
    """A dictionary whose missing keys are reported with the file's name."""

    def __init__(self, content: dict[str, Any], path: Path) -> None:
        super().__init__(content)
        self._path = path

    def __missing__(self, key: str) -> Any:
        raise VectorError(f"{self._path}: has no array {key!r}")


def compare(
    stage: str, backend: str, got: Any, want: Any, allowed: float, *, relative_above: float = np.inf
) -> Row:
    """Compare arrays of one shape; where what is wanted exceeds `relative_above`, relative to that."""
    got, want = np.asarray(got, np.float64), np.asarray(want, np.float64)
    if got.shape != want.shape:
        return Row(stage, backend, np.inf, np.inf, allowed, f"shape {got.shape}, not {want.shape}")
    if got.size == 0:
        return Row(stage, backend, 0.0, 0.0, allowed)
    with np.errstate(invalid="ignore"):
        difference = np.where(got == want, 0.0, np.abs(got - want))
    if np.isfinite(relative_above):
        difference = difference / np.maximum(np.abs(want) / relative_above, 1.0)
    at = np.unravel_index(int(np.argmax(difference)), difference.shape)
    largest = float(difference[at])
    note = (
        "" if largest <= allowed else f"at {tuple(map(int, at))}: {got[at]:.9g}, not {want[at]:.9g}"
    )
    return Row(stage, backend, largest, float(difference.mean()), allowed, note)


def exact(stage: str, backend: str, got: Any, want: Any) -> Row:
    """Compare sequences of tokens or texts element by element; the count that differs must be 0."""
    got, want = list(got), list(want)
    different = [i for i in range(max(len(got), len(want))) if got[i : i + 1] != want[i : i + 1]]
    note = ""
    if different:
        i = different[0]
        note = f"at {i}: {str(got[i : i + 1])[:60]}, not {str(want[i : i + 1])[:60]}"
    count = len(different)
    return Row(stage, backend, float(count), count / max(len(want), 1), 0.0, note)


def skipped(stage: str, backend: str, note: str) -> Row:
    """Return the row of a check that cannot run here."""
    return Row(stage, backend, 0.0, 0.0, 0.0, note, "skipped")


def installed(package: str) -> bool:
    """Return whether a package can be imported, without importing it."""
    return importlib.util.find_spec(package) is not None
