"""The share of an LSTM layer's states that are at a bound, in any backend's arithmetic.

States come as a backend keeps them and are read as numbers: float32 as it is; h uint8 with zero point
128 and scale 1/127 (`stream.backends.int8`); h int8 with exponent 7, c int16 with exponent 12 (the
integer arithmetic). So the same three shares are known for all of them:

    output   |h| >= 127/128: the largest that int8 holds; a float value beyond would be clipped
    tanh     |c| >= 1: the cell's output no longer follows c, with hard activations exactly
    cell     |c| >= 8 - 2^-12: the largest that int16 with exponent 12 holds

They are counted from the states after each chunk, so of every second frame of the layers before
pairs are joined. What happens inside a step, such as gates at 0 or 1, is not visible in states.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
import numpy as np
from numpy.typing import NDArray

from stream.stage import Floats, Mask, State, leaves_of

OUTPUT, TANH, CELL = 127 / 128, 1.0, 8.0 - 2.0**-12


class Saturation(msgspec.Struct, frozen=True):
    """Shares of one layer, fractions of all units at all frames; see the top of this file."""

    layer: str
    output: float
    tanh: float
    cell: float


def layer_states(state: State) -> list[tuple[Floats, Floats]]:
    """Return h and c of each layer, (B, H) each, as numbers.

    Args:
        state: a tree whose leaves alternate between h and c, each (B, H), or (B, layers, H).
    Raises:
        ValueError: it is no such tree.
    """
    leaves = leaves_of(state)
    if len(leaves) % 2:
        raise ValueError(f"saturation: a state of {len(leaves)} arrays is not pairs of h and c")
    pairs = []
    for h, c in zip(leaves[::2], leaves[1::2], strict=True):
        if h.shape != c.shape:
            raise ValueError(f"saturation: h is {h.shape}, its c is {c.shape}")
        h, c = _numbers(h), _numbers(c)
        if h.ndim == 3:
            pairs += [(h[:, n], c[:, n]) for n in range(h.shape[1])]
        else:
            pairs.append((h, c))
    return pairs


class Counter:
    """Counts states at bounds over the steps of layers.

    Args:
        names: of the layers, in the order of their states; none: states are not looked at.
    """

    def __init__(self, names: Sequence[str]) -> None:
        self.names = names
        self._counts = np.zeros((len(names), 3), np.int64)
        self._all = np.zeros(len(names), np.int64)

    def add(self, state: State, rows: Mask) -> None:
        """Count a state.

        Args:
            state: of the layers.
            rows: (B,) which rows count.
        Raises:
            ValueError: the state is not that of so many layers.
        """
        if not self.names:
            return
        pairs = layer_states(state)
        if len(pairs) != len(self.names):
            raise ValueError(f"saturation: states of {len(pairs)} layers, not {len(self.names)}")
        for n, (h, c) in enumerate(pairs):
            h, c = np.abs(h[rows]), np.abs(c[rows])
            self._counts[n] += [(h >= OUTPUT).sum(), (c >= TANH).sum(), (c >= CELL).sum()]
            self._all[n] += h.size

    def shares(self) -> list[Saturation]:
        """Return the shares of each layer."""
        shares = self._counts / np.maximum(self._all, 1)[:, None]
        return [
            Saturation(name, *row) for name, row in zip(self.names, shares.tolist(), strict=True)
        ]


def _numbers(x: NDArray[np.generic]) -> Floats:
    if x.dtype == np.uint8:
        return (x.astype(np.float32) - 128) / np.float32(127)
    if x.dtype == np.int8:
        return x.astype(np.float32) / np.float32(128)
    if x.dtype == np.int16:
        return x.astype(np.float32) / np.float32(4096)
    return np.asarray(x, np.float32)
