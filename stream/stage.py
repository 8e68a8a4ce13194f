"""Stage: the one contract that every processing step of Rill keeps.

`step(x, state) -> (y, state)` and `initial_state(batch)`; a whole utterance is one big step. Training,
scoring, serving and export call the same method, so what is left to test is that chunking does not
matter (`tests/contract.py`). This file holds the contract and the few functions over state trees;
it knows no stage.

A state is a value: nested tuples of arrays, the batch axis first in every leaf, shapes and dtypes
unchanged by a step. Arrays are of any array-API namespace (NumPy serves, torch trains); `Array` is
their type here.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Protocol, TypeAlias

import numpy as np
from array_api_compat import array_namespace, device
from numpy.typing import NDArray

Array: TypeAlias = Any
State: TypeAlias = Any  # Array | tuple[State, ...]
Floats: TypeAlias = NDArray[np.float32]
Integers: TypeAlias = NDArray[np.int64]
Mask: TypeAlias = NDArray[np.bool_]
Samples: TypeAlias = Floats | NDArray[np.int16]  # (n,) at 16 kHz, full scale 1 or 32768


class Stage(Protocol):
    """A causal processing step with explicit state."""

    @property
    def block(self) -> int:
        """Number of input frames of which `step` takes a multiple, zero included."""
        ...

    def initial_state(self, batch: int) -> State:
        """Return the NumPy state before the first frame, for `batch` rows."""
        ...

    def step(self, x: Array, state: State) -> tuple[Array, State]:
        """Process the frames of x, (batch, frames, ...), and return the output and the new state."""
        ...


class Chain:
    """A stage made of stages, each fed with the output of the one before."""

    def __init__(self, stages: Sequence[Stage], block: int) -> None:
        self.stages = tuple(stages)
        self.block = block

    def initial_state(self, batch: int) -> State:
        """Return the initial states of all stages as a tuple."""
        return tuple(stage.initial_state(batch) for stage in self.stages)

    def step(self, x: Array, state: State) -> tuple[Array, State]:
        """Run every stage in turn over x, (batch, frames, ...); frames is a multiple of `block`."""
        after = []
        for stage, before in zip(self.stages, state, strict=True):
            x, new = stage.step(x, before)
            after.append(new)
        return x, tuple(after)


def map_state(function: Callable[..., Array], *states: State) -> State:
    """Apply `function` to the corresponding leaves of one or more states of the same tree."""
    if isinstance(states[0], tuple):
        return tuple(map_state(function, *leaves) for leaves in zip(*states, strict=True))
    return function(*states)


def leaves_of(state: State) -> list[Array]:
    """Return the leaves of a state, in their order."""
    leaves: list[Array] = []
    map_state(leaves.append, state)
    return leaves


def bytes_of(state: State) -> int:
    """Return the bytes of a state of NumPy arrays."""
    return sum(leaf.nbytes for leaf in leaves_of(state))


def take_rows(state: State, rows: NDArray[np.int64]) -> State:
    """Return a copy of some rows of a state of NumPy arrays."""
    return map_state(lambda leaf: leaf.take(rows, axis=0), state)


def write_rows(rows: NDArray[np.int64], new: State, state: State) -> None:
    """Write rows into a state of NumPy arrays, in place."""

    def put(some: Array, leaf: Array) -> None:
        leaf[rows] = some

    map_state(put, new, state)


def append(window: Array, frames: Array) -> Array:
    """Return the last frames of a window with more behind it, as many as the window has.

    Args:
        window, frames: (..., n, size) and (..., m, size), the oldest frame first.
    """
    length, count = window.shape[-2], frames.shape[-2]
    if count >= length:
        return frames[..., count - length :, :]
    return array_namespace(window).concat([window[..., count:, :], frames], axis=-2)


def whole(stage: Stage, x: Array) -> Array:
    """Process x, (batch, frames, ...), in one step from the initial state."""
    state = map_state(lambda leaf: constant_like(leaf, x), stage.initial_state(len(x)))
    return stage.step(x, state)[0]


def constant_like(value: np.ndarray[Any, Any], x: Array) -> Array:
    """Return a NumPy constant as an array of x's namespace, device and (if floating) dtype."""
    xp = array_namespace(x)
    floating = np.issubdtype(value.dtype, np.floating)
    return xp.asarray(value, dtype=x.dtype if floating else None, device=device(x))
