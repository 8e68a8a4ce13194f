"""State trees and chains: what every stage is built with."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from stream.stage import Chain, append, constant_like, map_state, take_rows, whole, write_rows


class Sum:
    """Running sum over frames, times a factor."""

    block = 1

    def __init__(self, factor: float) -> None:
        self.factor = factor

    def initial_state(self, batch: int) -> np.ndarray:
        return np.zeros((batch, 2), np.float32)

    def step(self, x: Any, state: Any) -> tuple[Any, Any]:
        sums = state[:, None] + x.cumsum(1)
        return self.factor * sums, (sums[:, -1] if x.shape[1] else state)


TREE = (np.arange(3.0), (np.ones((3, 2)), np.zeros((3, 1, 4), np.int64)))


def test_a_function_reaches_every_leaf_of_a_tree() -> None:
    shapes: list[tuple[int, ...]] = []
    doubled = map_state(lambda leaf: shapes.append(leaf.shape) or 2 * leaf, TREE)
    assert shapes == [(3,), (3, 2), (3, 1, 4)]
    np.testing.assert_array_equal(doubled[0], [0, 2, 4])
    summed = map_state(lambda a, b: a + b, TREE, doubled)
    np.testing.assert_array_equal(summed[1][0], np.full((3, 2), 3.0))


def test_trees_of_different_form_are_an_error() -> None:
    with pytest.raises(ValueError, match="zip"):
        map_state(lambda a, b: a, TREE, (TREE[0],))


@pytest.mark.parametrize("count", [0, 2, 3, 5])
def test_what_is_appended_to_a_window_drives_out_its_oldest_frames(count: int) -> None:
    window, frames = (
        np.arange(6).reshape(1, 3, 2),
        np.arange(10, 10 + 2 * count).reshape(1, count, 2),
    )
    both = np.concatenate([window, frames], axis=1)
    np.testing.assert_array_equal(append(window, frames), both[:, -3:])


def test_rows_are_written_in_every_leaf() -> None:
    other = map_state(lambda leaf: leaf + 10, TREE)
    mixed, rows = map_state(np.copy, TREE), np.array([0, 2])
    write_rows(rows, take_rows(other, rows), mixed)
    for got, new, old in zip(
        (mixed[0], *mixed[1]), (other[0], *other[1]), (TREE[0], *TREE[1]), strict=True
    ):
        np.testing.assert_array_equal(got[[0, 2]], new[[0, 2]])
        np.testing.assert_array_equal(got[1], old[1])
        assert got.dtype == old.dtype


def test_a_chain_is_its_stages_in_turn() -> None:
    x = np.random.default_rng(0).standard_normal((2, 9, 2)).astype(np.float32)
    chain = Chain([Sum(0.5), Sum(2.0)], block=1)
    y = whole(chain, x)
    np.testing.assert_allclose(y, x.cumsum(1).cumsum(1), rtol=1e-5, atol=1e-5)
    state, pieces = chain.initial_state(2), []
    for piece in np.split(x, [1, 1, 5], axis=1):
        z, state = chain.step(piece, state)
        pieces.append(z)
    np.testing.assert_allclose(np.concatenate(pieces, 1), y, rtol=1e-5, atol=1e-5)


def test_constants_take_namespace_and_floating_type_of_the_input() -> None:
    torch = pytest.importorskip("torch")
    value = constant_like(np.ones(2, np.float32), torch.zeros(1, dtype=torch.float64))
    assert value.dtype == torch.float64
    assert constant_like(np.ones(2, np.int64), np.zeros(1, np.float32)).dtype == np.int64
