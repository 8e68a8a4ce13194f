"""A file of records: a NumPy array too large for memory, written at its end and read in pieces."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from stream.errors import InputError

Records: TypeAlias = NDArray[Any]  # (count,), of the dtype of their file
PIECE = 1 << 16  # records read at once, a multiple of 8


class RecordFile:
    """Records of one dtype, in the order in which they were appended.

    Args:
        path: of a temporary file, which is created.
        dtype: of the records.
    """

    def __init__(self, path: Path, dtype: np.dtype[Any]) -> None:
        self.path, self.dtype, self.count = path, dtype, 0
        self.append(np.zeros(0, dtype))

    def append(self, records: Records) -> None:
        """Write records at the end.

        Raises:
            InputError: they cannot be written, as where the disk is full.
        """
        try:
            with self.path.open("ab") as file:
                file.write(np.ascontiguousarray(records).view(np.uint8).data)
        except OSError as error:
            raise InputError(
                f"{self.path.parent}: cannot write temporary files: {error.strerror}; choose a folder "
                "with more room (--scratch)"
            ) from error
        self.count += len(records)

    def extend(self, pieces: Iterable[Records]) -> None:
        """Write pieces at the end, one after another; see `append`."""
        for piece in pieces:
            self.append(piece)

    def pieces(self, rows: int = PIECE) -> Iterator[Records]:
        """Yield all records; every piece but the last has so many rows."""
        with self.path.open("rb") as file:
            while len(piece := np.fromfile(file, self.dtype, rows)):
                yield piece

    def remove(self) -> None:
        """Delete the file."""
        self.path.unlink(missing_ok=True)
