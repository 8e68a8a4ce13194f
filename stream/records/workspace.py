"""Where work that does not fit in memory puts its temporary files, and what it may take."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np

from stream.files.atomic import folder_beside
from stream.progress import show_line
from stream.records.file import RecordFile, Records
from stream.records.sorting import Sorter

MEMORY = 1024  # MiB


@dataclass(frozen=True)
class Workspace:
    """A folder for temporary files and an amount of memory.

    Attributes:
        folder: of the temporary files.
        memory: bytes that sorts may take, of which two run at once.
        show: takes a line that says how far the work is; "" clears it.
    """

    folder: Path
    memory: int = MEMORY << 20
    show: Callable[[str], None] = show_line
    _numbers: Iterator[int] = field(default_factory=count)

    def file(self, name: str, dtype: np.dtype[Any]) -> RecordFile:
        """Return an empty file of records."""
        return RecordFile(self.folder / f"{next(self._numbers)}-{name}", dtype)

    def sorter(
        self, name: str, dtype: np.dtype[Any], totals: Sequence[str] | None = None
    ) -> Sorter:
        """Return a sorter of half the memory."""
        path = self.folder / f"{next(self._numbers)}-{name}"
        return Sorter(path, dtype, self.memory // 2, totals)

    def shown(
        self, pieces: Iterable[Records], doing: str, total: int | None = None
    ) -> Iterator[Records]:
        """Yield pieces, and show how many records there were.

        Args:
            doing: what is done with them.
            total: of records, where that is known.
        """
        done = 0
        for piece in pieces:
            done += len(piece)
            self.show(f"{doing}: {done}" + ("" if total is None else f" of {total}"))
            yield piece


@contextmanager
def workspace(beside: Path | None = None, memory: int = MEMORY << 20) -> Iterator[Workspace]:
    """Yield a workspace whose folder is removed afterwards, also after an error and Ctrl-C.

    Args:
        beside: file beside which its folder is; None: the folder is where the system puts temporary files.
        memory: bytes that sorts may take.
    """
    if beside is None:
        with tempfile.TemporaryDirectory(prefix="rill-") as folder:
            yield Workspace(Path(folder), memory)
    else:
        with folder_beside(beside) as path:
            yield Workspace(path, memory)
