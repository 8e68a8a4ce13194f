"""The LSTM layer: the readable reference that every faster form is checked against.

NUMERICS 3.2: gate order i, f, g, o; two bias vectors, both added; soft cells (logistic, tanh) or hard
ones, S(a) = clamp(a/8 + 1/2, 0, 1) and T(a) = clamp(a, -1, 1), T on the cell output too. With
number format "bfp16" it rounds where Myrtle's card does (NUMERICS 3.3). (batch, frames, inputs) ->
(batch, frames, hidden), float, over the array namespace of the input. Encoder and prediction network are
stacks of such layers. Training has a faster form with a hand-written backward, `train.encoders.lstm_layer`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Literal, TypeAlias

import numpy as np
from array_api_compat import array_namespace

from stream.encoders.bfp16 import bf16, bfp
from stream.encoders.family import Arrays
from stream.stage import Array, Chain, Floats, State, constant_like

Activation: TypeAlias = Literal["hard", "soft"]
NumberFormat: TypeAlias = Literal["float32", "bfp16"]
KEYS = ("weight_ih", "weight_hh", "bias_ih", "bias_hh")  # of a layer's arrays, in this order


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


def layer_shapes(stack: str, layers: int, inputs: int, hidden: int) -> dict[str, tuple[int, ...]]:
    """Return the shapes of the arrays of a stack of layers, by name."""
    shapes: dict[str, tuple[int, ...]] = {}
    for n in range(layers):
        of = ((4 * hidden, inputs), (4 * hidden, hidden), (4 * hidden,), (4 * hidden,))
        shapes |= {f"{stack}.{n}.{key}": shape for key, shape in zip(KEYS, of, strict=True)}
        inputs = hidden
    return shapes


def prepare_layers(
    arrays: Arrays, layers: Iterable[str], number_format: NumberFormat
) -> dict[str, Array]:
    """Return the arrays of layers as `step_layers` reads them fastest, rounded to the number format.

    Args:
        arrays: by name, NumPy's or torch's; others than those of the layers are left out.
        layers: names of the layers.
        number_format: of the layers.
    """
    operand, result = _roundings(number_format)
    prepared: dict[str, Array] = {}
    for layer in layers:
        for key in ("weight_ih", "weight_hh"):
            weight = operand(arrays[f"{layer}.{key}"])
            if isinstance(weight, np.ndarray):  # x W^T is faster where W^T lies in one piece
                weight = np.ascontiguousarray(weight.T).T
            prepared[f"{layer}.{key}"] = weight
        for key in ("bias_ih", "bias_hh"):
            prepared[f"{layer}.{key}"] = result(arrays[f"{layer}.{key}"])
    return prepared


def initial_state(batch: int, hidden: int) -> tuple[Floats, Floats]:
    """Return (h, c) of zeros, (batch, hidden) each."""
    return np.zeros((batch, hidden), np.float32), np.zeros((batch, hidden), np.float32)


def step_layers(
    arrays: Arrays,
    layers: Sequence[str],
    x: Array,
    state: State,
    activation: Activation,
    number_format: NumberFormat = "float32",
) -> tuple[Array, State]:
    """Run a stack of layers over the frames of x, (batch, frames, inputs).

    Args:
        arrays: by name; rounded to the number format before (`prepare_layers`).
        layers: names of the layers, the first one first.
        x: of the namespace of the arrays.
        state: (h, c) of each layer.
        activation, number_format: of the layers.
    Returns:
        h of the last layer at every frame, (batch, frames, hidden), and the state after the last frame.
    """
    after = []
    for layer, before in zip(layers, state, strict=True):
        x, new = _step_layer(
            [arrays[f"{layer}.{key}"] for key in KEYS], x, before, activation, number_format
        )
        after.append(new)
    return x, tuple(after)


def _step_layer(
    arrays: Sequence[Array],
    x: Array,
    state: State,
    activation: Activation,
    number_format: NumberFormat,
) -> tuple[Array, State]:
    xp = array_namespace(x)
    sigmoid, tanh = FUNCTIONS[activation]
    operand, result = _roundings(number_format)
    weight_ih, weight_hh, bias_ih, bias_hh = arrays
    weight_ih, weight_hh = weight_ih.T, weight_hh.T
    h, c = state
    n = h.shape[1]
    outputs = []
    for frame in range(x.shape[1]):
        a = xp.matmul(operand(x[:, frame, :]), weight_ih) + bias_ih
        a = result(a + (xp.matmul(operand(h), weight_hh) + bias_hh))
        i = result(sigmoid(a[:, :n]))
        f = result(sigmoid(a[:, n : 2 * n]))
        g = result(tanh(a[:, 2 * n : 3 * n]))
        o = result(sigmoid(a[:, 3 * n :]))
        c = result(f * c + i * g)
        h = result(o * tanh(c))
        outputs.append(h)
    if not outputs:
        return xp.zeros((len(x), 0, n), dtype=x.dtype), state
    return xp.stack(outputs, axis=1), (h, c)


class LSTMLayer:
    """One layer as a stage with arrays of its own; state: (h, c), each (batch, hidden).

    Args:
        arrays: weight_ih (4H, I), weight_hh (4H, H), bias_ih (4H,), bias_hh (4H,), NumPy.
        activation: "hard" or "soft".
        number_format: "float32", or "bfp16" for the rounding of Myrtle's card.
    """

    block = 1

    def __init__(
        self,
        arrays: Mapping[str, Floats],
        activation: Activation,
        number_format: NumberFormat = "float32",
    ) -> None:
        self.hidden = arrays["weight_hh"].shape[1]
        self._activation, self._number_format = activation, number_format
        named = {f"layer.{key}": array for key, array in arrays.items()}
        self._arrays = prepare_layers(named, ["layer"], number_format)

    def initial_state(self, batch: int) -> State:
        """Return (h, c) of zeros."""
        return initial_state(batch, self.hidden)

    def step(self, x: Array, state: State) -> tuple[Array, State]:
        """Run the layer over the frames of x, (batch, frames, inputs), in the dtype of x."""
        arrays = [constant_like(array, x) for array in self._arrays.values()]
        return _step_layer(arrays, x, state, self._activation, self._number_format)


def lstm_stack(
    layers: Sequence[Mapping[str, Floats]], activation: Activation, number_format: NumberFormat
) -> Chain:
    """Return layers as one stage; its state is a tuple of (h, c), the first layer first."""
    return Chain([LSTMLayer(arrays, activation, number_format) for arrays in layers], block=1)


def _roundings(
    number_format: NumberFormat,
) -> tuple[Callable[[Array], Array], Callable[[Array], Array]]:
    """Return how the operands of products, and results, are rounded."""
    return (bfp, bf16) if number_format == "bfp16" else (_unchanged, _unchanged)


def _unchanged(x: Array) -> Array:
    return x
