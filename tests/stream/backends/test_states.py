"""Encoder states of many rows: independent rows, and a backend that keeps its own."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from stream.backends import load_backend
from stream.backends.numpy import NumpyBackend
from stream.backends.states import EncoderStates, RowStates, encoder_states
from stream.engine.engine import Engine
from tests.tiny import tiny_network

RNG = np.random.default_rng(0)


def chunks(rows: int, count: int = 1) -> NDArray[np.float32]:
    return RNG.standard_normal((rows, 2 * count, 240), np.float32)


def test_rows_are_stepped_reset_and_copied_and_no_other_changes() -> None:
    backend = load_backend("numpy", tiny_network())
    states, first, second = encoder_states(backend, 4), chunks(2), chunks(2)
    begun = states.encode(first, np.array([3, 1]))
    want, _ = backend.encode(np.concatenate([first, second], axis=1), backend.initial_state(2)[0])
    np.testing.assert_allclose(begun[:, 0], want[:, 0], rtol=0, atol=1e-6)
    states.copy(0, 3)
    states.reset(np.array([3]))
    again = states.encode(np.concatenate([second, first[:1]]), np.array([0, 1, 3]))
    np.testing.assert_allclose(again[:2, 0], want[:, 1], rtol=0, atol=1e-6)
    np.testing.assert_allclose(again[2], begun[0], rtol=0, atol=1e-6)


def test_a_backend_that_keeps_its_states_is_asked_for_them() -> None:
    class Keeping(NumpyBackend):
        def states(self, rows: int) -> EncoderStates:
            self.made = Counting(self, rows)
            return self.made

    class Counting(RowStates):
        encoded = copied = 0

        def encode(
            self,
            x: NDArray[np.float32],
            rows: NDArray[np.int64],
            present: NDArray[np.bool_] | None = None,
        ) -> NDArray[np.float32]:
            self.encoded += 1
            return super().encode(x, rows, present)

        def copy(self, row: int, source: int) -> None:
            self.copied += 1
            super().copy(row, source)

    network = tiny_network()
    backend = Keeping(network)
    engine = Engine(network, backend, 2)
    one, two = engine.open(), engine.open()
    assert one is not None and two is not None
    engine.push(one, np.zeros(3000, np.float32))
    while engine.pending():
        engine.tick()
    engine.follow(two, one)
    assert (backend.made.encoded, backend.made.copied) == (2, 1)
