"""States at bounds, counted in any backend's arithmetic."""

from __future__ import annotations

import numpy as np
import pytest

from export.compare.saturation import Counter, layer_states


def test_states_of_every_arithmetic_are_read_as_the_same_numbers() -> None:
    h, c = np.array([[0.0, 0.5, -1.0]]), np.array([[0.0, 2.0, -8.0]])
    kinds = {
        "float32": (h.astype(np.float32), c.astype(np.float32)),
        "int8 graphs": (np.rint(h * 127 + 128).astype(np.uint8), c.astype(np.float32)),
        "integers": (np.rint(h * 128).astype(np.int8), np.rint(c * 4096).astype(np.int16)),
    }
    for state in kinds.values():
        ((got_h, got_c),) = layer_states(state)
        np.testing.assert_allclose(got_h, h, atol=0.005)
        np.testing.assert_allclose(got_c, c)


def test_packed_states_are_those_of_their_layers() -> None:
    packed = np.arange(12, dtype=np.float32).reshape(2, 3, 2)
    pairs = layer_states((packed, -packed))
    assert len(pairs) == 3
    np.testing.assert_array_equal(pairs[1][0], packed[:, 1])
    np.testing.assert_array_equal(pairs[2][1], -packed[:, 2])


def test_shares_are_of_the_rows_that_count() -> None:
    h = np.array([[1.0, 0.0], [0.0, 0.0], [1.0, 1.0]], np.float32)
    c = np.array([[8.0, 1.0], [0.5, 0.0], [9.0, 9.0]], np.float32)
    counter = Counter(["encoder.pre.0"])
    counter.add((h, c), np.array([True, True, False]))
    (share,) = counter.shares()
    assert (share.layer, share.output, share.tanh, share.cell) == ("encoder.pre.0", 0.25, 0.5, 0.25)


def test_states_of_other_layers_are_refused() -> None:
    h = np.zeros((1, 2), np.float32)
    with pytest.raises(ValueError, match="states of 1 layers, not 2"):
        Counter(["a", "b"]).add((h, h), np.array([True]))
    with pytest.raises(ValueError, match="3 arrays is not pairs of h and c"):
        layer_states((h, h, h))
