"""Records of equal keys, side by side in a stream of pieces, which may be cut anywhere."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from stream.records.file import Records
from stream.stage import Integers


class Combiner:
    """Makes one record of those that have the same "key".

    Args:
        totals: fields that are added up; of any other it has the value of the first record.
    """

    def __init__(self, totals: Sequence[str] = ()) -> None:
        self._totals = totals
        self._open: Records | None = None  # the last record, which the next piece may add to

    def add(self, piece: Records) -> Records:
        """Return the records that are complete after a piece."""
        if self._open is not None:
            piece = np.concatenate([self._open, piece])
        if not len(piece):
            return piece
        starts = group_starts(piece["key"])
        combined = piece[starts]
        for field in self._totals:
            combined[field] = np.add.reduceat(piece[field], starts)
        self._open = combined[-1:]
        return combined[:-1]

    def end(self, piece: Records) -> Records:
        """Return the records that are complete after the last piece."""
        complete = self.add(piece)
        return complete if self._open is None else np.concatenate([complete, self._open])


def group_starts(keys: NDArray[np.generic]) -> Integers:
    """Return the places of the first of each run of equal keys."""
    return np.flatnonzero(np.concatenate([[True], keys[1:] != keys[:-1]]))[: len(keys)]


def whole_groups(
    pieces: Iterable[Records], key: Callable[[Records], NDArray[np.generic]]
) -> Iterator[Records]:
    """Yield the records in pieces that do not cut a group of equal keys; the largest has to fit in memory."""
    kept: list[Records] = []  # the last group, which the next piece may go on with
    last: object = None  # its key
    for piece in filter(len, pieces):
        keys = key(piece)
        if kept and keys[0] != last:
            yield np.concatenate(kept)
            kept = []
        if cut := int(group_starts(keys)[-1]):
            yield np.concatenate([*kept, piece[:cut]])
            kept = []
        kept.append(piece[cut:].copy())
        last = keys[-1]
    if kept:
        yield np.concatenate(kept)
