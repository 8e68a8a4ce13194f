"""The LSTM layer as a stage: the readable reference that every faster form is held against.

NUMERICS 3.2: gate order i, f, g, o; two bias vectors, both added; soft cells (logistic, tanh) or hard
ones, S(a) = clamp(a/8 + 1/2, 0, 1) and T(a) = clamp(a, -1, 1), T on the cell output too. With
number format "bfp16" it rounds where Myrtle's card does (NUMERICS 3.3). (batch, frames, inputs) ->
(batch, frames, hidden), float, over the array namespace of the input. Training has a faster form
with a hand-written backward, `train.encoders.lstm`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np
from array_api_compat import array_namespace
from numpy.typing import NDArray

from stream.integer.bfp16 import bf16, bfp
from stream.model.network import Activation, NumberFormat
from stream.stage import Array, Chain, State, constant_like

__all__ = ["FUNCTIONS", "LSTM", "hard_sigmoid", "hard_tanh", "lstm_stack"]


def hard_sigmoid(a: Array) -> Array:
    """Return clamp(a/8 + 1/2, 0, 1): slope 1/8 costs a shift on a chip. Not ONNX' default 0.2."""
    return array_namespace(a).clip(a * 0.125 + 0.5, 0.0, 1.0)


def hard_tanh(a: Array) -> Array:
    """Return clamp(a, -1, 1)."""
    return array_namespace(a).clip(a, -1.0, 1.0)


def _sigmoid(a: Array) -> Array:
    return 0.5 * array_namespace(a).tanh(0.5 * a) + 0.5  # cannot overflow


def _tanh(a: Array) -> Array:
    return array_namespace(a).tanh(a)


# S and T of NUMERICS 3.2.
FUNCTIONS: dict[Activation, tuple[Callable[[Array], Array], Callable[[Array], Array]]] = {
    "hard": (hard_sigmoid, hard_tanh),
    "soft": (_sigmoid, _tanh),
}


class LSTM:
    """One layer; state: (h, c), each (batch, hidden).

    Args:
        arrays: weight_ih (4H, I), weight_hh (4H, H), bias_ih (4H,), bias_hh (4H,), NumPy.
        activation: "hard" or "soft".
        number_format: "float32", or "bfp16" for the rounding of Myrtle's card.
    """

    block = 1

    def __init__(
        self,
        arrays: Mapping[str, NDArray[np.float32]],
        activation: Activation,
        number_format: NumberFormat = "float32",
    ) -> None:
        self.hidden = arrays["weight_hh"].shape[1]
        self._sigmoid, self._tanh = FUNCTIONS[activation]
        rounded = number_format == "bfp16"
        self._operand: Callable[[Array], Array] = bfp if rounded else _unchanged
        self._result: Callable[[Array], Array] = bf16 if rounded else _unchanged
        self._weight_ih, self._weight_hh = (
            np.ascontiguousarray(self._operand(arrays[name]).T)
            for name in ("weight_ih", "weight_hh")
        )
        self._bias_ih, self._bias_hh = (
            self._result(arrays[name]) for name in ("bias_ih", "bias_hh")
        )

    def initial_state(self, batch: int) -> State:
        """Return (h, c) of zeros."""
        zeros = np.zeros((batch, self.hidden), np.float32)
        return zeros, zeros.copy()

    def step(self, x: Array, state: State) -> tuple[Array, State]:
        """Run the layer over the frames of x, (batch, frames, inputs)."""
        xp = array_namespace(x)
        weight_ih, weight_hh, bias_ih, bias_hh = (
            constant_like(a, x)
            for a in (self._weight_ih, self._weight_hh, self._bias_ih, self._bias_hh)
        )
        h, c = state
        outputs = []
        n = self.hidden
        for frame in range(x.shape[1]):
            a = xp.matmul(self._operand(x[:, frame, :]), weight_ih) + bias_ih
            a = self._result(a + (xp.matmul(self._operand(h), weight_hh) + bias_hh))
            i = self._result(self._sigmoid(a[:, :n]))
            f = self._result(self._sigmoid(a[:, n : 2 * n]))
            g = self._result(self._tanh(a[:, 2 * n : 3 * n]))
            o = self._result(self._sigmoid(a[:, 3 * n :]))
            c = self._result(f * c + i * g)
            h = self._result(o * self._tanh(c))
            outputs.append(h)
        if not outputs:
            return xp.zeros((len(x), 0, n), dtype=x.dtype), state
        return xp.stack(outputs, axis=1), (h, c)


def lstm_stack(
    layers: Sequence[Mapping[str, NDArray[np.float32]]],
    activation: Activation,
    number_format: NumberFormat,
) -> Chain:
    """Return the layers as one stage; its state is a tuple of (h, c), the first layer first."""
    return Chain([LSTM(arrays, activation, number_format) for arrays in layers], block=1)


def _unchanged(x: Array) -> Array:
    return x
