"""Records sorted by key in bounded memory.

1. Records fill a block of memory; a full block is sorted and written as a run.
2. Runs are merged: of each a piece is read, and what is not above the smallest last key of the pieces is sorted and comes
   out. At most `FAN` runs are merged at once; where there are more, some become one run first.
3. The records that come out do not depend on the size of blocks; where several have the same key and are not combined,
   their order among each other does.

Source: Knuth, The Art of Computer Programming 3, section 5.4; Heafield et al. (2013), scalable modified Kneser-Ney language
model estimation, section 3.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from stream.records.file import PIECE, RecordFile, Records
from stream.records.grouping import Combiner

FAN = 64


class Sorter:
    """Sorts records by their field "key".

    Args:
        path: beginning of the names of its temporary files.
        dtype: of the records.
        memory: bytes that it may take.
        totals: records of equal keys become one, whose values of these fields are added up; None: all stay.
    """

    def __init__(
        self, path: Path, dtype: np.dtype[Any], memory: int, totals: Sequence[str] | None = None
    ) -> None:
        self._path, self._dtype, self._memory, self._totals = path, dtype, memory, totals
        # A record in the block, and its key and its place while the block is sorted.
        size = dtype.itemsize + dtype["key"].itemsize + 8
        self._block = np.empty(max(memory // size, 2), dtype)
        self._filled = 0
        self._runs: list[RecordFile] = []
        self._named = 0

    def add(self, records: Records) -> None:
        """Take some records.

        Raises:
            InputError: the disk is full.
        """
        while len(records):
            taken = records[: len(self._block) - self._filled]
            self._block[self._filled : self._filled + len(taken)] = taken
            self._filled += len(taken)
            records = records[len(taken) :]
            if self._filled == len(self._block):
                self._spill()

    def pieces(self) -> Iterator[Records]:
        """Yield all records in the order of their keys; no more can be added.

        Raises:
            InputError: the disk is full.
        """
        self._spill()
        self._block = self._block[:0].copy()
        while len(self._runs) > FAN:
            some, self._runs = self._runs[:FAN], self._runs[FAN:]
            merged = self._run()
            merged.extend(self._merged(some))
            self._runs.append(merged)
        yield from self._merged(self._runs)

    def _spill(self) -> None:
        filled = self._block[: self._filled]
        order = np.argsort(filled["key"])
        sorted_pieces = (
            filled[order[begin : begin + PIECE]] for begin in range(0, len(order), PIECE)
        )
        if self._filled:
            run = self._run()
            run.extend(self._combined(sorted_pieces))
            self._runs.append(run)
        self._filled = 0

    def _run(self) -> RecordFile:
        self._named += 1
        return RecordFile(self._path.with_name(f"{self._path.name}-{self._named}"), self._dtype)

    def _merged(self, runs: Sequence[RecordFile]) -> Iterator[Records]:
        rows = max(self._memory // (4 * max(len(runs), 1) * self._dtype.itemsize), 2)
        try:
            yield from self._combined(_merged([run.pieces(min(rows, PIECE)) for run in runs]))
        finally:  # also where a reader stops before the end
            for run in runs:
                run.remove()

    def _combined(self, pieces: Iterator[Records]) -> Iterator[Records]:
        if self._totals is None:
            yield from pieces
            return
        combiner = Combiner(self._totals)
        for piece in pieces:
            yield combiner.add(piece)
        yield combiner.end(np.zeros(0, self._dtype))


def _merged(runs: Sequence[Iterator[Records]]) -> Iterator[Records]:
    heads = [(head, run) for run in runs if (head := next(run, None)) is not None]
    while len(heads) > 1:
        bound = min(head["key"][-1] for head, _ in heads)
        taken, left = [], []
        for head, run in heads:
            end = int(np.searchsorted(np.ascontiguousarray(head["key"]), bound, "right"))
            taken.append(head[:end])
            rest = head[end:] if end < len(head) else next(run, None)
            if rest is not None:
                left.append((rest, run))
        heads = left
        mixed = np.concatenate(taken)
        order = np.argsort(mixed["key"])
        for begin in range(0, len(order), PIECE):
            yield mixed[order[begin : begin + PIECE]]
    for head, run in heads:
        yield head
        yield from run
