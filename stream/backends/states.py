"""Encoder states of many rows: a step takes those that it needs out of arrays of all, and writes them back.

An engine names rows and holds no state. A cache, a leaf of the state to which a step only appends
(`stream.encoders.family.Encoder.caches`), is a ring for each row: a step copies what it reads, the oldest
frame first, and writes no more than the new frames. A step of 64 rows of 2 MB, of a Conformer of 36 M weights in
int8 with four seconds before its chunks, takes 115 ms, where reading, appending and writing whole caches it
took 176 (`tests/benchmarks/bench_states.py`).
"""

from __future__ import annotations

import functools
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stream.backends import Backend
from stream.stage import Floats, Integers, Mask, bytes_of, map_state


class EncoderStates:
    """The states of an encoder's rows, all at the start of a stream when they are made.

    Args:
        backend: that computes. One whose encoder has caches has `caches`, which of the leaves they are, and
            `advance`: see `stream.encoders.family.Encoder`.
        rows: how many.
    Attributes:
        bytes_a_row: of a row's state.
    """

    def __init__(self, backend: Backend, rows: int) -> None:
        fresh = backend.initial_state(1)[0]
        caches = getattr(backend, "caches", None)
        if caches is None:
            caches = map_state(lambda leaf: False, fresh)
            self._advance, self._chunk = backend.encode, 0
        else:
            self._advance = backend.advance  # type: ignore[attr-defined]
            self._chunk = backend.specification.encoder.chunk_inputs
        self._leaves = map_state(
            lambda cache, leaf: (_Rings if cache else _Rows)(leaf, rows), caches, fresh
        )
        self.bytes_a_row = bytes_of(fresh)

    def encode(self, x: Floats, rows: Integers, present: Mask | None = None) -> Floats:
        """Encode input frames of some rows and advance these.

        Args:
            x: (R, n, inputs), n a multiple of a chunk's; `present` (R, n): as of `Backend.encode`.
            rows: (R,), all different.
        Returns:
            f, (R, frames, J).
        """
        if not self._chunk or x.shape[1] == self._chunk:
            return self._encode(x, rows, present)
        parts = []
        for begin in range(0, x.shape[1], self._chunk):
            part = slice(begin, begin + self._chunk)
            there = None if present is None else present[:, part]
            parts.append(self._encode(x[:, part], rows, there))
        return np.concatenate(parts, axis=1)

    def _encode(self, x: Floats, rows: Integers, present: Mask | None) -> Floats:
        before = map_state(lambda leaf: leaf.take(rows), self._leaves)
        f, after = self._advance(x, before, present)
        map_state(lambda leaf, new: leaf.put(rows, new), self._leaves, after)
        return f

    def reset(self, rows: Integers) -> None:
        """Set some rows to the start of a stream."""
        map_state(lambda leaf: leaf.reset(rows), self._leaves)

    def copy(self, row: int, source: int) -> None:
        """Give a row the state of another one."""
        map_state(lambda leaf: leaf.copy(row, source), self._leaves)


class _Rows:
    """A leaf of the state for all rows.

    Args:
        fresh: (1, ...), at the start of a stream.
    """

    def __init__(self, fresh: NDArray[Any], rows: int) -> None:
        self._fresh, self._array = fresh, np.repeat(fresh, rows, axis=0)

    def take(self, rows: Integers) -> NDArray[Any]:
        """Return a copy of some rows."""
        return self._array.take(rows, axis=0)

    def put(self, rows: Integers, new: NDArray[Any]) -> None:
        """Replace some rows."""
        self._array[rows] = new

    def reset(self, rows: Integers) -> None:
        """Set some rows to the start of a stream."""
        self._array[rows] = self._fresh

    def copy(self, row: int, source: int) -> None:
        """Give a row what another one has."""
        self._array[row] = self._array[source]


class _Rings(_Rows):
    """A cache for all rows: frames along the axis before the last, from `oldest` on, round and round.

    Args:
        fresh: (1, ..., length, size).
    """

    def __init__(self, fresh: NDArray[Any], rows: int) -> None:
        super().__init__(fresh, rows)
        *blocks, length, size = self._array.shape
        self._oldest, self._order = np.zeros(rows, np.int64), _order(length)
        self._frames = self._array.reshape(-1, size)
        self._begin = length * np.arange(np.prod(blocks)).reshape(*blocks, 1)

    def take(self, rows: Integers) -> NDArray[Any]:
        """Return a copy of some rows, (R, ..., length, size), the oldest frame first."""
        return self._frames.take(self._places(rows), axis=0)

    def put(self, rows: Integers, new: NDArray[Any]) -> None:
        """Append frames, (R, ..., n, size), to some rows."""
        around, length = self._order.shape
        count = min(new.shape[-2], length)
        self._frames[self._places(rows)[..., :count]] = new[..., new.shape[-2] - count :, :]
        self._oldest[rows] = (self._oldest[rows] + count) % around

    def reset(self, rows: Integers) -> None:
        super().reset(rows)
        self._oldest[rows] = 0

    def copy(self, row: int, source: int) -> None:
        super().copy(row, source)
        self._oldest[row] = self._oldest[source]

    def _places(self, rows: Integers) -> Integers:
        """Return where the frames of some rows lie, (R, ..., length), the oldest one first."""
        order = self._order.take(self._oldest[rows], axis=0)
        inner = (1,) * (self._begin.ndim - 2)
        places: Integers = self._begin[rows] + order.reshape(len(rows), *inner, -1)
        return places


@functools.cache
def _order(length: int) -> Integers:
    """Return the places in a ring of so many frames, (length or 1, length), by that of the oldest."""
    around = max(length, 1)
    order: Integers = np.add.outer(np.arange(around), np.arange(length)) % around
    return order
