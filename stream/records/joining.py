"""Records of one sorted stream for the keys of another."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stream.records.file import Records


class Following:
    """Finds records by key in a sorted stream, which it reads along with keys that only grow.

    Args:
        pieces: of records sorted by "key", no two of the same.
        dtype: of the records.
    """

    def __init__(self, pieces: Iterator[Records], dtype: np.dtype[Any]) -> None:
        self._pieces, self._dtype = pieces, dtype
        self._take(np.zeros(0, dtype))

    def find(self, keys: NDArray[np.generic]) -> tuple[NDArray[np.bool_], Records]:
        """Return which keys there are, and their records; zeros where there is none.

        Args:
            keys: ascending, none below those of the call before.
        """
        there = np.zeros(len(keys), np.bool_)
        found = np.zeros(len(keys), self._dtype)
        done = 0
        while done < len(keys):
            if len(self._head):
                end = done + int(np.searchsorted(keys[done:], self._keys[-1], "right"))
                at = np.searchsorted(self._keys, keys[done:end])
                there[done:end] = self._keys[at] == keys[done:end]
                found[done:end] = self._head[at]
                done = end
            if done < len(keys):
                piece = next(self._pieces, None)
                if piece is None:
                    break
                self._take(piece)
        found[~there] = np.zeros(1, self._dtype)
        return there, found

    def _take(self, piece: Records) -> None:
        self._head, self._keys = piece, np.ascontiguousarray(piece["key"])
