"""Encoder states of many rows, kept by the backend that computes with them.

An engine names rows and holds no state. `RowStates`, which serves any backend, takes the rows of a step out
of arrays of all rows and writes them back; that is right for small states. A cache of seconds of frames,
as attention has, costs more to gather than to use: a backend that keeps such caches has a method `states`,
appends to them in place, and is asked for it (`encoder_states`).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from stream.backends import Backend
from stream.stage import Floats, Integers, Mask, map_state, take_rows, write_rows


class EncoderStates(Protocol):
    """The states of an encoder's rows, all at the start of a stream when they are made."""

    def encode(self, x: Floats, rows: Integers, present: Mask | None = None) -> Floats:
        """Encode input frames of some rows and advance these.

        Args:
            x: (R, n, inputs), n a multiple of a chunk's; `present` (R, n): as of `Backend.encode`.
            rows: (R,), all different.
        Returns:
            f, (R, frames, J).
        """

    def reset(self, rows: Integers) -> None:
        """Set some rows to the start of a stream."""

    def copy(self, row: int, source: int) -> None:
        """Give a row the state of another one."""


def encoder_states(backend: Backend, rows: int) -> EncoderStates:
    """Return encoder states of so many rows: those of a backend's method `states`, or `RowStates`."""
    own: Callable[[int], EncoderStates] | None = getattr(backend, "states", None)
    return own(rows) if own else RowStates(backend, rows)


class RowStates(EncoderStates):
    """States in arrays of all rows.

    Args:
        backend: that computes.
    """

    def __init__(self, backend: Backend, rows: int) -> None:
        self._backend = backend
        self._fresh = backend.initial_state(1)[0]
        self._states = backend.initial_state(rows)[0]

    def encode(self, x: Floats, rows: Integers, present: Mask | None = None) -> Floats:
        f, after = self._backend.encode(x, take_rows(self._states, rows), present)
        write_rows(rows, after, self._states)
        return f

    def reset(self, rows: Integers) -> None:
        write_rows(rows, self._fresh, self._states)

    def copy(self, row: int, source: int) -> None:
        def put(leaf: NDArray[np.generic]) -> None:
            leaf[row] = leaf[source]

        map_state(put, self._states)
