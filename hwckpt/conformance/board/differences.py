"""The first difference between what a board computed and the vectors of a hardware bundle.

1. Cases of single steps come before streams: a fault in a layer shows there without what follows from it.
2. A board may leave out cases and arrays, but not all of them. Of an array it may compute fewer or more rows, as
   where it says other tokens: common rows are compared first.
3. First is what was computed first. Front end and encoder have no feedback, so there the earliest stage counts, and in it
   the earliest row; a layer's c comes before its h. The decoder goes round in a circle, so there time counts.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from hwckpt.hardware_bundle import (
    BINARY,
    DTYPES,
    ArrayEntry,
    Bundle,
    BundleError,
    CaseEntry,
)

Ints = NDArray[Any]  # of integers
VECTORS_ONLY = ("joints",)
NEIGHBOURS = 3  # values to each side of the first that differs


@dataclass(frozen=True)
class Difference:
    """Where a board first computed something else.

    Attributes:
        case: of the bundle.
        array: its name.
        row: the first that differs: a step in time.
        index: of the first value in it that differs; None: there is no such row on one side.
        expected, computed: the values of that row, (n,); empty where there is none.
        values: all arrays of the case, as expected.
    """

    case: CaseEntry
    array: str
    row: int
    index: int | None
    expected: Ints
    computed: Ints
    values: Mapping[str, Ints]

    def describe(self) -> str:
        """Return lines: place, neighbourhood, extent."""
        place = f"{self.case.name}: {self.array} differs first in row {self.row}"
        if self.index is None:
            side = (
                "the board has no such row" if self.expected.size else "there should be no such row"
            )
            return f"{place}: {side}"
        wrong = np.flatnonzero(self.expected != self.computed)
        apart = np.abs(self.expected.astype(np.int64) - self.computed)
        begin = max(self.index - NEIGHBOURS, 0)
        around = slice(begin, self.index + NEIGHBOURS + 1)
        return "\n".join(
            [
                f"{place}, index {self.index}: {self.computed[self.index]}, expected {self.expected[self.index]}",
                f"  from index {begin}: computed {' '.join(map(str, self.computed[around].tolist()))}",
                f"  {' ' * len(f'from index {begin}:')} expected {' '.join(map(str, self.expected[around].tolist()))}",
                f"  {len(wrong)} of {self.expected.size} values of the row differ, by {apart.max()} at most",
            ]
        )


class Comparison(NamedTuple):
    """What was compared.

    Attributes:
        arrays: number of arrays that the board gave.
        cases: number of cases of which it gave any.
        differing: names of the cases that differ.
        first: the first difference of all; None: there is none.
    """

    arrays: int
    cases: int
    differing: tuple[str, ...]
    first: Difference | None


def compare_board(bundle: Bundle, dumped: Path) -> Comparison:
    """Compare a board's arrays, DUMPED/CASE/NAME.bin, with a bundle's.

    Raises:
        BundleError: there are none, or one is not whole rows of its type.
    """
    arrays = cases = 0
    differing: list[str] = []
    first = None
    for case in sorted(bundle.manifest.cases, key=lambda each: each.kind == "stream"):
        entries = [entry for entry in case.arrays if entry.name not in (*case.given, *VECTORS_ONLY)]
        got = {
            entry.name: _read(path, entry)
            for entry in entries
            if (path := dumped / case.name / f"{entry.name}{BINARY}").is_file()
        }
        if not got:
            continue
        arrays, cases = arrays + len(got), cases + 1
        found = _first(case, bundle.vectors(case), got)
        if found is not None:
            differing.append(case.name)
            first = first or found
    if not arrays:
        names = ", ".join(case.name for case in bundle.manifest.cases[:3])
        raise BundleError(
            f"{dumped}: no array of the bundle; a board's arrays lie as in its vectors/: CASE/NAME{BINARY}, "
            f"cases are {names}, ..."
        )
    return Comparison(arrays, cases, tuple(differing), first)


def _read(path: Path, entry: ArrayEntry) -> Ints:
    """Read a board's array, whatever the number of its rows: (rows, ...)."""
    row = int(np.prod(entry.shape[1:], dtype=np.int64))
    content = path.read_bytes()
    size = row * DTYPES[entry.type].itemsize
    if len(content) % size:
        raise BundleError(
            f"{path}: {len(content)} bytes are not whole rows of {row} {entry.type}, {size} bytes each"
        )
    return np.frombuffer(content, DTYPES[entry.type]).reshape(-1, row)


def _first(
    case: CaseEntry, values: Mapping[str, Ints], got: Mapping[str, Ints]
) -> Difference | None:
    """Return the first difference of a case (rule 3)."""
    for group in _groups(case):
        candidates = []
        for place, name in enumerate(group):
            if name not in got:
                continue
            want = values[name].reshape(-1, got[name].shape[1])
            row = _row(want, got[name])
            if row is not None:
                candidates.append((*_time(name, row, values, group), place, name, row))
        if candidates:
            *_, name, row = min(candidates)
            return _difference(case, values, name, row, got[name])
    return None


def _groups(case: CaseEntry) -> Iterator[list[str]]:
    """Yield arrays that are to be compared by time, each group before what follows from it."""
    names = [entry.name for entry in case.arrays if entry.name not in case.given]
    if case.kind != "stream":
        yield from ([name] for name in names)
        return
    decoder = next(n for n, name in enumerate(names) if name.startswith("prediction."))
    layer: list[str] = []
    for name in names[:decoder]:
        if name.startswith("encoder."):
            layer.append(name)
            if name.endswith(".h"):
                yield layer
                layer = []
        else:
            yield [name]
    yield [name for name in names[decoder:] if name not in VECTORS_ONLY]


def _time(name: str, row: int, values: Mapping[str, Ints], group: list[str]) -> tuple[int, int]:
    """Return when a row was computed: of the decoder the evaluation of the joint that it precedes or belongs to."""
    if "logits" not in group:
        return row, 0
    if name == "g" or name.startswith("prediction."):
        joints = values["joints"]
        return int(joints[row]) if row < len(joints) else int(len(values["best"])), 0
    if name in ("tokens", "steps"):  # a token is that of the joint before the next row of g
        best = np.flatnonzero(values["best"] != values["logits"].shape[1] - 1)
        return (int(best[row]) if row < len(best) else len(values["best"])), 1
    return row, 1


def _row(want: Ints, got: Ints) -> int | None:
    """Return the first row that differs, or that only one side has."""
    common = min(len(want), len(got))
    wrong = np.flatnonzero((want[:common] != got[:common]).any(axis=1))
    if wrong.size:
        return int(wrong[0])
    return None if len(want) == len(got) else common


def _difference(
    case: CaseEntry, values: Mapping[str, Ints], name: str, row: int, got: Ints
) -> Difference:
    want = values[name].reshape(-1, got.shape[1])
    expected, computed = (side[row] if row < len(side) else side[:0, 0] for side in (want, got))
    index = None
    if expected.size and computed.size:
        index = int(np.flatnonzero(expected != computed)[0])
    return Difference(case, name, row, index, expected, computed, values)
