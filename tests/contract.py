"""The contract of a stage, as checks that any stage can be put through (docs/stages.md).

1. Any chunking gives the frames of one big step.
2. The state keeps its tree, shapes and dtypes, and has the batch axis first in every leaf.
3. NaN in other rows changes nothing.
4. NaN after a frame changes no output before it.
5. A row that is reset equals a fresh one, and its neighbours do not notice.
6. A stream that is saved, loaded and moved to another row goes on bit for bit.

Stages are NumPy's here. What a stage computes is its own test's business.
"""

from __future__ import annotations

import functools
import io
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.testing import assert_allclose, assert_array_equal
from numpy.typing import NDArray

from stream.backends import Backend
from stream.stage import Stage, State, map_state, whole, write_rows

__all__ = [
    "Case",
    "Encoder",
    "check_causality",
    "check_chunking",
    "check_reset",
    "check_rows",
    "check_saving",
    "check_state",
]

ROWS = 3


@dataclass(frozen=True)
class Case:
    """A stage and what to feed it.

    Attributes:
        name: for messages.
        stage: under test.
        blocks: of the input.
        features: shape of a frame; () for samples.
        tolerance: absolute, between chunkings: 0, or what products that are batched differently
            need in float32.
    """

    name: str
    stage: Stage
    blocks: int
    features: tuple[int, ...]
    tolerance: float = 0.0

    def __str__(self) -> str:
        return self.name

    @property
    def frames(self) -> int:
        return self.blocks * self.stage.block

    def input(self, seed: int = 0, rows: int = ROWS) -> NDArray[np.float32]:
        """Return noise, (rows, frames, *features) float32."""
        rng = np.random.default_rng(seed)
        return rng.normal(0.0, 0.5, (rows, self.frames, *self.features)).astype(np.float32)


class Encoder:
    """The encoder of a backend as a stage: stacked frames in, projected encoder frames out."""

    block = 2

    def __init__(self, backend: Backend) -> None:
        self._backend = backend

    def initial_state(self, batch: int) -> State:
        return self._backend.initial_state(batch)[0]

    def step(self, x: Any, state: State) -> tuple[Any, State]:
        return self._backend.encode(x, state)


def check_chunking(case: Case, cuts: Sequence[int]) -> None:
    """Check rule 1, for chunks that end at these blocks (empty ones, too)."""
    x, stage = case.input(), case.stage
    state, outputs = stage.initial_state(ROWS), []
    for chunk in np.split(x, [cut * stage.block for cut in sorted(cuts)], axis=1):
        y, state = stage.step(chunk, state)
        outputs.append(y)
    want, end = stage.step(x, stage.initial_state(ROWS))
    assert_allclose(np.concatenate(outputs, axis=1), want, rtol=0, atol=case.tolerance)
    for got, wanted in zip(leaves(state), leaves(end), strict=True):
        assert_allclose(got, wanted, rtol=0, atol=case.tolerance)


def check_state(case: Case) -> None:
    """Check rule 2, for a step and for a step of nothing."""
    before = case.stage.initial_state(ROWS)
    for x in (case.input(), case.input()[:, :0]):
        _, after = case.stage.step(x, before)

        def same(new: NDArray[Any], old: NDArray[Any]) -> NDArray[Any]:
            assert (new.shape, new.dtype) == (old.shape, old.dtype)
            assert len(new) == ROWS
            return new

        map_state(same, after, before)  # zips strictly: another tree is an error


def check_rows(case: Case) -> None:
    """Check rule 3."""
    x = case.input()
    want = whole(case.stage, x)
    for row in range(ROWS):
        disturbed = np.full_like(x, np.nan)
        disturbed[row] = x[row]
        with np.errstate(invalid="ignore"):
            assert_array_equal(whole(case.stage, disturbed)[row], want[row])


def check_causality(case: Case) -> None:
    """Check rule 4, at every block."""
    x, stage = case.input(), case.stage
    want = whole(stage, x)
    for block in range(case.blocks):
        frame = block * stage.block
        due = whole(stage, x[:, :frame]).shape[1]
        disturbed = x.copy()
        disturbed[:, frame:] = np.nan
        with np.errstate(invalid="ignore"):
            assert_array_equal(whole(stage, disturbed)[:, :due], want[:, :due])


def check_reset(case: Case) -> None:
    """Check rule 5, for the row in the middle."""
    x, again, stage = case.input(), case.input(seed=1), case.stage
    _, used = stage.step(x, stage.initial_state(ROWS))
    mask = np.array([False, True, False])
    reset = map_state(np.copy, used)
    write_rows(np.flatnonzero(mask), stage.initial_state(1), reset)
    y, _ = stage.step(again, reset)
    assert_array_equal(y[1], whole(stage, again)[1])
    assert_array_equal(y[~mask], stage.step(again, used)[0][~mask])


def check_saving(case: Case) -> None:
    """Check rule 6: rows in another order, through a file's bytes."""
    x, more, stage = case.input(), case.input(seed=1), case.stage
    order = np.array([2, 0, 1])
    _, state = stage.step(x, stage.initial_state(ROWS))
    want, _ = stage.step(more, state)
    moved = map_state(lambda leaf: reloaded(leaf)[order], state)
    got, _ = stage.step(more[order], moved)
    assert_array_equal(got, want[order])


def reloaded(array: NDArray[Any]) -> NDArray[Any]:
    file = io.BytesIO()
    np.save(file, array, allow_pickle=False)
    file.seek(0)
    return np.asarray(np.load(file, allow_pickle=False))


def leaves(state: State) -> list[NDArray[Any]]:
    found: list[NDArray[Any]] = []
    map_state(found.append, state)
    return found


CHECKS = (
    *(check_state, check_rows, check_causality, check_reset, check_saving),
    functools.partial(check_chunking, cuts=[0, 1, 1, 3, 4, 6]),
)
