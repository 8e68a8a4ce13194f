"""The reference LSTM against its formula, frame by frame in float64."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from stream.encoders.bfp16 import bf16
from stream.encoders.lstm_layer import LSTMLayer, hard_sigmoid, hard_tanh

RNG = np.random.default_rng(0)
ARRAYS = {
    "weight_ih": RNG.normal(0, 0.8, (20, 7)).astype(np.float32),
    "weight_hh": RNG.normal(0, 0.8, (20, 5)).astype(np.float32),
    "bias_ih": RNG.normal(0, 0.5, 20).astype(np.float32),
    "bias_hh": RNG.normal(0, 0.5, 20).astype(np.float32),
}
X = RNG.normal(0, 2.0, (3, 30, 7)).astype(np.float32)


def formula(activation: str) -> Any:
    w = {name: value.astype(np.float64) for name, value in ARRAYS.items()}
    if activation == "hard":
        sigmoid, tanh = (lambda a: np.clip(a / 8 + 0.5, 0, 1)), (lambda a: np.clip(a, -1, 1))
    else:
        sigmoid, tanh = (lambda a: 1 / (1 + np.exp(-a))), np.tanh
    h, c, outputs = np.zeros((3, 5)), np.zeros((3, 5)), []
    for x in X.astype(np.float64).transpose(1, 0, 2):
        a = x @ w["weight_ih"].T + w["bias_ih"] + h @ w["weight_hh"].T + w["bias_hh"]
        i, f, g, o = np.split(a, 4, axis=1)
        c = sigmoid(f) * c + sigmoid(i) * tanh(g)
        h = sigmoid(o) * tanh(c)
        outputs.append(h)
    return np.stack(outputs, axis=1), c


@pytest.mark.parametrize("activation", ["hard", "soft"])
def test_the_layer_is_its_formula(activation: Any) -> None:
    layer = LSTMLayer(ARRAYS, activation)
    y, (h, c) = layer.step(X, layer.initial_state(3))
    want, want_c = formula(activation)
    np.testing.assert_allclose(y, want, atol=2e-6)
    np.testing.assert_allclose(c, want_c, atol=5e-6)
    np.testing.assert_array_equal(h, y[:, -1])


def test_hard_functions_saturate_where_the_card_does() -> None:
    a = np.array([-4.1, -4.0, 0.0, 4.0, 4.1], np.float32)
    np.testing.assert_array_equal(hard_sigmoid(a), [0.0, 0.0, 0.5, 1.0, 1.0])
    np.testing.assert_array_equal(hard_tanh(a / 4), np.float32([-1.0, -1.0, 0.0, 1.0, 1.0]))


def test_block_floating_point_gives_outputs_that_bf16_can_hold() -> None:
    layer = LSTMLayer(ARRAYS, "hard", "bfp16")
    y, _ = layer.step(X, layer.initial_state(3))
    np.testing.assert_array_equal(bf16(y), y)
    float_y, _ = LSTMLayer(ARRAYS, "hard").step(X, layer.initial_state(3))
    assert 0.0 < np.abs(y - float_y).max() < 0.2


def test_no_frames_change_no_state() -> None:
    layer = LSTMLayer(ARRAYS, "hard")
    _, state = layer.step(X, layer.initial_state(3))
    y, after = layer.step(X[:, :0], state)
    assert y.shape == (3, 0, 5)
    for new, old in zip(after, state, strict=True):
        np.testing.assert_array_equal(new, old)
