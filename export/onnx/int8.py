"""Graphs in int8: u8 activations, s8 weights, scales that no batch changes.

1. The output of an LSTM layer, h, lies in [-1, 1] whatever the activation, so its scale is 1/127, a
   constant. Every other input of a product has a scale of its own: the embedding's follows from its
   largest weight, all others from `Ranges`. Beyond them values saturate.
2. A weight has one scale per output, its largest magnitude over 127. Ties go to even.
3. The products with weights are integer, so a row's sum does not depend on what it is batched with; scale,
   bias and all that follows are float32, element by element or, as in attention, row by row.
4. A layer that is kept in float computes what `export.onnx.float32` does, on float32 activations: h
   becomes u8 where the next layer takes that. The embedding goes with the first prediction layer.

Weights lie in a second safetensors file of the model directory, (inputs, outputs) each; those of rule 4
in the first one.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from export.onnx.float32 import Float32Graph
from export.onnx.graph import BOOL, FLOAT
from export.onnx.ranges import LEVELS, Ranges
from stream.model.network import Network
from stream.stage import Floats

ZERO = 128  # of signed activations
UNIT = np.float32(1.0 / 127.0)  # scale of h
INPUT_SCALE = ".x.scale"  # of a layer whose input has a range of its own

Arrays = dict[str, NDArray[np.generic]]


def input_scale(ranges: Ranges) -> float:
    """Return the scale of the encoder's input."""
    return ranges.x / 127.0


def embedding(weight: Floats) -> tuple[NDArray[np.uint8], float]:
    """Return an embedding (V, P) as u8, one more row of zeros for blank, and its scale."""
    largest = max(float(np.abs(weight).max()), 1e-12)
    steps = np.rint(weight * (127.0 / largest)) + ZERO
    start = np.full((1, weight.shape[1]), ZERO, np.uint8)
    return np.concatenate([steps.astype(np.uint8), start]), largest / 127.0


def linear_arrays(name: str, weight: Floats, bias: Floats | None, scale: float) -> Arrays:
    """Return the arrays of a linear layer: weight (inputs, outputs) int8, scale, bias (rule 2).

    Args:
        weight, bias: (outputs, inputs), (outputs,).
        scale: of the input.
    """
    column = np.maximum(np.abs(weight).max(axis=1), 1e-12) / 127.0
    arrays: Arrays = {
        f"{name}.weight": np.rint(weight / column[:, None]).astype(np.int8).T,
        f"{name}.scale": (column * scale).astype(np.float32),
    }
    if bias is not None:
        arrays[f"{name}.bias"] = bias.astype(np.float32)
    return arrays


def calibrated_arrays(
    network: Network, prefix: str, ranges: Mapping[str, float], float_layers: Collection[str]
) -> Arrays:
    """Return the arrays of the linear layers with a range of their own, and the scale of each one's input.

    Args:
        prefix: of their names.
        ranges: `Ranges.layers`.
        float_layers: left out with all that is within them.
    """
    arrays: Arrays = {}
    for name, largest in ranges.items():
        if name.startswith(prefix) and not is_within(name, float_layers):
            weight, bias = (network.arrays.get(f"{name}.{key}") for key in ("weight", "bias"))
            assert weight is not None
            arrays |= linear_arrays(name, weight, bias, largest / 127.0)
            arrays[f"{name}{INPUT_SCALE}"] = np.array(largest / 127.0, np.float32)
    return arrays


def is_within(name: str, layers: Collection[str]) -> bool:
    """Return whether a linear layer is one of these layers or a part of one."""
    return any(name == layer or name.startswith(f"{layer}.") for layer in layers)


def joint_arrays(network: Network, ranges: Ranges, float_layers: Collection[str]) -> Arrays:
    """Return the arrays of the joint, except its layers in float, and the scale of its hidden vector."""
    arrays = calibrated_arrays(network, "joint.", ranges.layers, float_layers)
    scales = {"joint.encoder": float(UNIT)}
    if ranges.joint is not None:
        scales |= {"joint.prediction": float(UNIT), "joint.output": ranges.joint / LEVELS}
        arrays["joint.scale"] = np.array(ranges.joint / LEVELS, np.float32)
    for name, scale in scales.items():
        if name not in (*ranges.layers, *float_layers):
            weight, bias = (network.arrays[f"{name}.{key}"] for key in ("weight", "bias"))
            arrays |= linear_arrays(name, weight, bias, scale)
    return arrays


@dataclass
class Int8Graph(Float32Graph):
    """A graph of int8 layers and of layers in float; the first weight file has the int8 layers."""

    _octets: dict[str, str] = field(default_factory=dict, init=False)  # of float32 activations

    def is_float(self, layer: str) -> bool:
        """Return whether a layer is kept in float."""
        return f"{layer}.scale" not in self.files[0].arrays

    def quantise(self, x: str, scale: str, zero: int = ZERO) -> str:
        """Add float32 activations as u8."""
        return self.node("QuantizeLinear", [x, scale, self.zero_point(zero)])

    def octets(self, h: str) -> str:
        """Add h, float32, as u8."""
        if h not in self._octets:
            self._octets[h] = self.quantise(h, self.constant("unit", np.array(UNIT)))
        return self._octets[h]

    def linear(self, x: str, layer: str) -> str:
        if self.is_float(layer):
            return super().linear(x, layer)
        if self.has(scale := f"{layer}{INPUT_SCALE}"):
            return self.product(self.quantise(x, self.weight(scale)), layer)
        return self.product(self.octets(x), layer)

    def product(self, x: str, name: str, zero: int = ZERO) -> str:
        """Add the product of u8 activations and a weight, scaled and with its bias."""
        return self.scaled_product(
            x,
            self.weight(f"{name}.weight"),
            self.constant("one", np.array(1.0, np.float32)),
            self.weight(f"{name}.scale"),
            self.zero_point(zero),
            self.weight(f"{name}.bias") if self.has(f"{name}.bias") else "",
        )

    def features(self, x: str, layer: str) -> str:
        """Add x as u8, unless the layer is in float."""
        return x if self.is_float(layer) else self.quantise(x, self.weight("x.scale"))

    def activations(self, h: str, layer: str) -> str:
        """Add h as u8, unless the layer is in float."""
        return h if self.is_float(layer) else self.octets(h)

    def masked(self, h: str, present: str, layer: str) -> str:
        condition = self.node("Cast", [present], to=BOOL)
        if self.is_float(layer):
            zero = self.constant("zero", np.array(0, np.float32))
        else:
            zero = self.zero_point(ZERO)
        return self.node("Where", [condition, h, zero])

    def embed(self, token: str, vocabulary: int) -> str:
        if self.is_float("prediction.lstm.0"):
            return super().embed(token, vocabulary)
        return self.node("Gather", [self.weight("prediction.embedding"), token], axis=0)

    def project(self, h: str, layer: str) -> str:
        return super().project(h, layer) if self.is_float(layer) else self.linear(h, layer)

    def join(self, f: str, g: str) -> tuple[str, int]:
        if self.is_float("joint.output"):
            return super().join(f, g)
        hidden = self.quantise(self.add_relu(f, g), self.weight("joint.scale"), 0)
        return self.product(hidden, "joint.output", 0), FLOAT
