"""Grouped-query attention over windows of frames (Ainslie et al., 2023), with rotary positions.

Each group of heads / groups heads shares a key and a value. Keys are cached as they are and rotated by their
places in the cache, so that a stream's age never enters.

State: keys and values of the last `left` frames, (batch, groups, left, head size) each, both caches.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from array_api_compat import array_namespace

from stream.encoders.family import Arrays
from stream.encoders.linear import linear
from stream.encoders.norm import Norm
from stream.encoders.operations import Operations
from stream.encoders.windows import Windows
from stream.stage import Array, State


@dataclass(frozen=True)
class Attention:
    """An attention branch.

    Attributes:
        name: of its arrays: `norm.…`, `input.weight` (size + 2 groups x head size, size), the rows of the
            queries, head by head, before those of the keys and of the values, and `output.weight`
            (size, size).
        norm: of its input.
        heads, groups: number of queries, and of keys and values; head h is of group h groups // heads.
        left: frames that are cached.
        operations: that compute it.
    """

    name: str
    norm: Norm
    heads: int
    groups: int
    left: int
    operations: Operations

    caches = (True, True)

    @property
    def head_size(self) -> int:
        """The size of a query, a key or a value."""
        return self.norm.size // self.heads

    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Return the shapes of the arrays by name."""
        size = self.norm.size
        rows = size + 2 * self.groups * self.head_size
        return {
            **self.norm.shapes(),
            f"{self.name}.input.weight": (rows, size),
            f"{self.name}.output.weight": (size, size),
        }

    def initial_state(self, batch: int) -> State:
        """Return keys and values of zeros; the state of the encoder says which of them hold a frame."""
        shape = (batch, self.groups, self.left, self.head_size)
        return np.zeros(shape, np.float32), np.zeros(shape, np.float32)

    def advance(
        self, arrays: Arrays, x: Array, state: State, windows: Windows
    ) -> tuple[Array, State]:
        """Return the branch's output for x, (batch, n, size), and its keys and values."""
        xp = array_namespace(x)
        batch, n, size = x.shape
        all_three = linear(self.norm.of(arrays, x), arrays[f"{self.name}.input.weight"])
        keys_at, values_at = size, size + self.groups * self.head_size
        queries = self._heads(all_three[..., :keys_at], self.heads // self.groups)
        keys = self._heads(all_three[..., keys_at:values_at], 1)[:, :, :, 0]
        values = self._heads(all_three[..., values_at:], 1)[:, :, :, 0]
        all_keys = xp.concat([state[0], keys], axis=2)
        y = self.operations.attend(
            windows.queries(windows.rotate(queries)),
            windows.keys(windows.rotate(all_keys)),
            windows.keys(xp.concat([state[1], values], axis=2)),
            windows.seen,
        )
        y = xp.permute_dims(windows.frames_of(y), (0, 2, 1, 3, 4))
        y = linear(xp.reshape(y, (batch, n, size)), arrays[f"{self.name}.output.weight"])
        return y, (keys, values)

    def _heads(self, x: Array, heads: int) -> Array:
        """Return (batch, n, groups x heads x head size) as (batch, groups, n, heads, head size)."""
        xp = array_namespace(x)
        split = xp.reshape(x, (*x.shape[:2], self.groups, heads, self.head_size))
        return xp.permute_dims(split, (0, 2, 1, 3, 4))
