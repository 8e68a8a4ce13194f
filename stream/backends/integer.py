"""The integer backend: `stream.integer.fixed` on NumPy, with products that BLAS computes exactly.

Every partial sum of a product is an integer below the row's bound (rule 9), which float32 holds up to
2^24 and float64 up to 2^53, in whatever order BLAS adds. So a layer whose bounds allow it multiplies in
float32, any other in float64, and a row's result is the same bit for bit in any batch and slot. States
are (h int8, c int16) per layer. Rules by number: docs/integer.md.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from stream.backends import Backend, Logits
from stream.front_end.stacking import join_pairs
from stream.integer.fixed import joint_hidden, lstm_cell, quantise_input, rhe, saturate
from stream.integer.network import IntegerLayer, IntegerLinear, IntegerNetwork, to_integers
from stream.model.network import Network
from stream.stage import Floats, Integers, Mask, State

FLOAT32_EXACT = 1 << 24  # below it every integer is a float32


def load(network: Network, threads: int = 1) -> IntegerBackend:
    """Build the backend from a network; BLAS has the threads it has.

    Raises:
        ModelError: the network has no quantisation, or its accumulators may overflow.
    """
    return IntegerBackend(to_integers(network))


class IntegerBackend(Backend):
    """A backend of integers; f and g hold e 2^-fe and g 2^-fe, which float32 does exactly."""

    def __init__(self, network: IntegerNetwork) -> None:
        self.specification = network.specification
        self._input_exponent = network.quantisation.input
        self._joint_exponent = network.joint_encoder.exponent
        self._pre, self._post, self._lstm = (
            [BlasLayer(layer) for layer in layers]
            for layers in (network.pre, network.post, network.prediction)
        )
        self._embedding = network.embedding
        self._linear = {
            "encoder": BlasLinear(network.joint_encoder),
            "prediction": BlasLinear(network.joint_prediction),
            "output": BlasLinear(network.joint_output),
        }

    def initial_state(self, batch: int) -> tuple[State, State]:
        """Return zeros: (h, c), (B, H) int8 and int16, for each layer."""
        pre, post, lstm = (
            tuple(layer.initial_state(batch) for layer in layers)
            for layers in (self._pre, self._post, self._lstm)
        )
        return (pre, post), lstm

    def encode(self, x: Floats, state: State, present: Mask | None = None) -> tuple[Floats, State]:
        pre, post = state
        h, pre = _run(self._pre, quantise_input(x, self._input_exponent), pre)
        h, post = _run(self._post, join_pairs(h, present), post)
        return self._project("encoder", h), (pre, post)

    def predict(self, tokens: Integers, state: State) -> tuple[Floats, State]:
        h, state = _run(self._lstm, self._embedding[tokens][:, None, :], state)
        return self._project("prediction", h[:, 0]), state

    def join(self, f: Floats, g: Floats) -> Logits:
        """Return the logits, float32 where that holds every one of them, else float64."""
        e, of_g = (np.ldexp(each, self._joint_exponent).astype(np.int32) for each in (f, g))
        output = self._linear["output"]
        values = output.accumulate(joint_hidden(e, of_g))
        logits: Logits = np.ldexp(values.astype(output.dtype), -output.exponent)
        return logits

    def ctc(self, f: Floats) -> Floats:
        """Refuse: a model with a quantisation has no CTC head (`Specification`)."""
        raise NotImplementedError("integers have no ctc")

    def _project(self, name: str, h: NDArray[np.int8]) -> Floats:
        linear = self._linear[name]
        e = linear.project(h)
        return np.ldexp(e.astype(np.float32), -linear.exponent)


def _product_type(bound: Integers) -> type[np.float32] | type[np.float64]:
    return np.float32 if bound.max() < FLOAT32_EXACT else np.float64


class BlasLayer:
    """An LSTM layer with products by BLAS; weights are floats that hold integers, shifted left."""

    def __init__(self, layer: IntegerLayer) -> None:
        self._dtype = dtype = _product_type(layer.bound)
        self._weight_ih, self._weight_hh = (
            np.ldexp(np.ascontiguousarray(weight.T, dtype), left)
            for weight, left in ((layer.weight_ih, layer.shift_x), (layer.weight_hh, layer.shift_h))
        )
        self._bias, self._shift = layer.bias.astype(dtype), layer.shift
        self._hidden = layer.weight_hh.shape[1]

    def initial_state(self, batch: int) -> State:
        """Return (h, c) of zeros."""
        shape = batch, self._hidden
        return np.zeros(shape, np.int8), np.zeros(shape, np.int16)

    def accumulate(
        self, x: NDArray[np.integer[Any]], h: NDArray[np.integer[Any]]
    ) -> NDArray[np.int32]:
        """Return the accumulators (B, 4H) of one frame, x (B, I) and h (B, H)."""
        sums = x.astype(self._dtype) @ self._weight_ih
        sums += h.astype(self._dtype) @ self._weight_hh
        acc: NDArray[np.int32] = (sums + self._bias).astype(np.int32)
        return acc

    def step(self, x: NDArray[np.integer[Any]], state: State) -> tuple[NDArray[np.int8], State]:
        """Run the layer over the frames of x, (B, S, I)."""
        h, c = state
        outputs = np.empty((*x.shape[:2], self._hidden), np.int8)
        for frame in range(x.shape[1]):
            h, c = lstm_cell(self.accumulate(x[:, frame], h), c, self._shift)
            h, c = h.astype(np.int8), c.astype(np.int16)
            outputs[:, frame] = h
        return outputs, (h, c)


class BlasLinear:
    """A linear layer with its product by BLAS; weights are floats that hold integers, shifted left."""

    def __init__(self, linear: IntegerLinear) -> None:
        self.dtype = dtype = _product_type(linear.bound)
        self.exponent, self._shift_out = linear.exponent, linear.shift_out
        weight = np.ascontiguousarray(linear.weight.T, dtype)
        self._weight = np.ldexp(weight, linear.shift_in)
        self._bias = linear.bias.astype(dtype)

    def accumulate(self, x: NDArray[np.integer[Any]]) -> NDArray[np.int32]:
        """Return the accumulators (..., N) of x, (..., K)."""
        acc: NDArray[np.int32] = (x.astype(self.dtype) @ self._weight + self._bias).astype(np.int32)
        return acc

    def project(self, h: NDArray[np.integer[Any]]) -> NDArray[Any]:
        """Return e, or g, (..., N) int16 values (rule 5)."""
        return saturate(rhe(self.accumulate(h), self._shift_out), 16)


def _run(
    layers: list[BlasLayer], x: NDArray[np.integer[Any]], state: State
) -> tuple[NDArray[Any], State]:
    """Run a stack of layers over the frames of x, (B, S, I)."""
    after = []
    for layer, before in zip(layers, state, strict=True):
        x, new = layer.step(x, before)
        after.append(new)
    return x, tuple(after)
