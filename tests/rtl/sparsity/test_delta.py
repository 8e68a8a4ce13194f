"""Skipped inputs: which, what that changes, and what it saves."""

from __future__ import annotations

import numpy as np
import pytest

from stream.backends.integer import IntegerBackend
from stream.integer.network import IntegerNetwork, to_integers
from stream.stage import Floats
from tests.rtl.sparsity.delta import ZEROS, DeltaBackend
from tests.tiny import quantised, tiny_network

UNITS = 4


@pytest.fixture(scope="module")
def integers() -> IntegerNetwork:
    return to_integers(quantised(tiny_network(2)))


def encoded(backend: IntegerBackend, x: Floats) -> Floats:
    return backend.encode(x, backend.initial_state(len(x))[0])[0]


@pytest.mark.parametrize("threshold", [ZEROS, 0])
def test_inputs_that_are_zero_or_did_not_move_change_nothing(
    integers: IntegerNetwork, threshold: int
) -> None:
    x = np.random.default_rng(1).normal(0.0, 1.0, (3, 8, 240)).astype(np.float32).round()
    x[:, 2:4] = x[:, 1:2]
    backend = DeltaBackend(integers, threshold, UNITS)
    assert np.array_equal(encoded(backend, x), encoded(IntegerBackend(integers), x))
    (of_x, _), _ = backend.shares()
    left = x != 0.0 if threshold == ZEROS else np.diff(x, axis=1, prepend=0.0) != 0.0
    assert of_x == left.mean()
    assert backend.products() < 1.0


def test_a_threshold_skips_small_movements_until_they_add_up(integers: IntegerNetwork) -> None:
    x = np.zeros((1, 4, 240), np.float32)
    x[0, :, 0] = np.array([3, 5, 7, 7]) / 16  # of exponent 4
    backends = [DeltaBackend(integers, 2, UNITS) for _ in range(2)]
    held = x.copy()
    held[0, 1, 0] = x[0, 0, 0]  # 5 is 2 more than 3, 7 is 4 more
    got, want = (encoded(b, each) for b, each in zip(backends, (x, held), strict=True))
    assert np.array_equal(got, want)
    assert backends[0].layers[0].used[0] == 2


def test_a_step_without_inputs_takes_what_its_groups_take(integers: IntegerNetwork) -> None:
    backend = DeltaBackend(integers, 127, UNITS)
    encoded(backend, np.zeros((1, 2, 240), np.float32))
    # 4 groups of 4 units, each of which leaves after 7 clocks; a chunk has two steps of pre, one of post
    assert backend.clocks() == 3 * (4 * 7 + 25)
