"""Vector files: what they hold, how they are made, and how they are compared with what is computed.

Each subject of this package declares its `KINDS`. A check of a file yields rows: what was compared, which
backend computed it, how far apart the two are and how far apart they may be. The tolerances are those of
docs/numerics.md, section 8.
"""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, TypeAlias
from zipfile import BadZipFile

import numpy as np

from stream.errors import InputError
from stream.files.text import read_text

Arrays: TypeAlias = Mapping[str, Any]
Rng: TypeAlias = np.random.Generator
Verdict = Literal["ok", "FAIL", "skipped"]

PACKAGES = {"integer-onnx": "onnx", "fixed": "numpy", "integer": "numpy"}  # others: their name
LEAST = np.nextafter(0.0, 1.0)  # difference of integers that are equal as float64


class VectorError(InputError):
    """A vector file that is not understood: an array is missing, or arrays do not fit together."""


@dataclass(frozen=True)
class Row:
    """The outcome of one comparison.

    Attributes:
        stage: what was computed.
        backend: what computed it.
        largest, mean: absolute differences, in the stage's own unit; of tokens and texts the number
            and the share of elements that differ.
        allowed: the largest difference that passes.
        note: the reason of a skip, or where the largest difference is.
    """

    stage: str
    backend: str
    largest: float = 0.0
    mean: float = 0.0
    allowed: float = 0.0
    note: str = ""
    skip: Literal["skipped"] | None = None

    @property
    def verdict(self) -> Verdict:
        """Whether it passes; a difference that is not a number does not."""
        return self.skip or ("ok" if self.largest <= self.allowed else "FAIL")


class Vectors(dict[str, Any]):
    """The content of a vector file by name; `path` is the file.

    Arrays of an .npz file, scalars among them as Python values; values of a .json file; nothing of a
    file of another kind, which its check reads by itself.

    Raises:
        VectorError: an absent name is looked up.
    """

    def __init__(self, path: Path, content: Arrays) -> None:
        super().__init__(content)
        self.path = path

    def __missing__(self, name: str) -> Any:
        raise VectorError(f"{self.path}: has no array {name!r}")

    def close(
        self,
        backend: str,
        got: Arrays,
        allowed: float = 0.0,
        *,
        optional: tuple[str, ...] = (),
        relative_above: float = np.inf,
    ) -> Iterator[Row]:
        """Compare computed arrays with those of the same names; see `compare`.

        Args:
            optional: what names begin with that a file may lack.
        Raises:
            VectorError: where integers are wanted exactly, the file has others.
        """
        for name, value in got.items():
            if name not in self and name.startswith(optional):
                continue
            want = np.asarray(self[name])
            if not allowed and np.asarray(value).dtype.kind in "iu" and want.dtype.kind == "f":
                raise VectorError(f"{self.path}: {name} is {want.dtype}, wants integers")
            yield compare(name, backend, value, want, allowed, relative_above=relative_above)

    def exact(self, backend: str, got: Arrays, *, optional: tuple[str, ...] = ()) -> Iterator[Row]:
        """Compare tokens or texts with those of the same names; see `exact`."""
        for name, value in got.items():
            if name in self or not name.startswith(optional):
                yield exact(name, backend, value, self[name])


def read_vectors(path: Path) -> Vectors:
    """Read a vector file without executing anything in it.

    Raises:
        VectorError: it is not an .npz file of plain arrays, or not a JSON object.
    """
    try:
        if path.suffix == ".npz":
            with path.open("rb") as raw, np.load(raw, allow_pickle=False) as file:
                arrays = {name: file[name] for name in file.files}
            return Vectors(path, {k: v.item() if v.ndim == 0 else v for k, v in arrays.items()})
        content = json.loads(read_text(path)) if path.suffix == ".json" else {}
    except (OSError, ValueError, EOFError, KeyError, BadZipFile) as error:
        raise VectorError(f"{path}: not a vector file: {error}") from error
    if not isinstance(content, dict):
        raise VectorError(f"{path}: not a vector file: not a JSON object")
    return Vectors(path, content)


def compare(
    stage: str, backend: str, got: Any, want: Any, allowed: float, *, relative_above: float = np.inf
) -> Row:
    """Compare arrays of one shape; relative to `want` where that exceeds `relative_above`.

    Integers are compared in all of their 64 bits.
    """
    got, want = np.asarray(got), np.asarray(want)
    if got.shape != want.shape:
        return Row(stage, backend, np.inf, np.inf, allowed, f"shape {got.shape}, not {want.shape}")
    if got.size == 0:
        return Row(stage, backend, allowed=allowed)
    wide = want.astype(np.float64)
    with np.errstate(invalid="ignore"):
        apart = np.maximum(np.abs(got.astype(np.float64) - wide), LEAST)
        difference = np.where(got == want, 0.0, apart)
    if np.isfinite(relative_above):
        difference = difference / np.maximum(np.abs(wide) / relative_above, 1.0)
    at = np.unravel_index(int(np.argmax(difference)), difference.shape)
    largest = float(difference[at])
    note = ""
    if not largest <= allowed:
        where = tuple(map(int, at))
        note = f"at {where}: {float(got[at]):.9g}, not {float(want[at]):.9g}"
    return Row(stage, backend, largest, float(difference.mean()), allowed, note)


def exact(stage: str, backend: str, got: Any, want: Any) -> Row:
    """Compare sequences of tokens or texts element by element; no element may differ."""
    got, want = _elements(got), _elements(want)
    different = [i for i in range(max(len(got), len(want))) if got[i : i + 1] != want[i : i + 1]]
    note = ""
    if different:
        i = different[0]
        note = f"at {i}: {str(got[i : i + 1])[:60]}, not {str(want[i : i + 1])[:60]}"
    count = len(different)
    return Row(stage, backend, float(count), count / max(len(want), 1), 0.0, note)


def _elements(value: Any) -> list[Any]:
    return value.tolist() if isinstance(value, np.ndarray) else list(value)


def installed(package: str) -> bool:
    """Return whether a package can be imported, without importing it."""
    return importlib.util.find_spec(package) is not None


def on_each(
    stage: str, backends: Iterable[str], rows: Callable[[str], Iterator[Row]]
) -> Iterator[Row]:
    """Yield the rows of each backend, one skipped row for a backend whose package is missing.

    Args:
        stage: of a skipped row.
        backends: names.
        rows: the check of one backend, by its name.
    """
    for backend in backends:
        package = PACKAGES.get(backend, backend)
        if installed(package):
            yield from rows(backend)
        else:
            note = f"{package} is not installed"
            yield Row(stage, backend, note=note, skip="skipped")


@dataclass(frozen=True)
class Kind:
    """One kind of vector file.

    Attributes:
        pattern: which names it has.
        check: yields the rows of a file.
        files: our own by name, as functions that make the content: arrays of an .npz file, the text
            of a .json file, or a hardware checkpoint. They take a generator of random numbers and
            the folder, in which the files before them lie.
    """

    pattern: str
    check: Callable[[Vectors], Iterator[Row]]
    files: Mapping[str, Callable[[Rng, Path], Any]] = field(default_factory=dict)


def computed(
    pattern: str,
    backend: str,
    compute: Callable[[Arrays], Arrays],
    allowed: float,
    given: Mapping[str, Callable[[Rng], Arrays]],
    *,
    optional: tuple[str, ...] = (),
    stored: Callable[[Arrays], Arrays] = dict,
) -> Kind:
    """Return a kind whose files hold what one function computes of the rest of them.

    Args:
        compute: computes arrays of the given ones, for files and for checks.
        allowed: the largest difference that passes.
        given: files of our own by name, as functions that draw the given arrays.
        optional: what the names of computed arrays begin with that a file may lack.
        stored: brings computed arrays to the types that files have them in.
    """

    def maker(draw: Callable[[Rng], Arrays]) -> Callable[[Rng, Path], Arrays]:
        def make(rng: Rng, folder: Path) -> Arrays:
            arrays = draw(rng)
            return {**arrays, **stored(compute(arrays))}

        return make

    return Kind(
        pattern,
        lambda z: z.close(backend, compute(z), allowed, optional=optional),
        {name: maker(draw) for name, draw in given.items()},
    )
