"""int8 graphs of a network: u8 activations, s8 weights, scales that no batch changes.

Inputs and outputs are those of `export.onnx.graph`, but for the states, which are one array a layer:
h (B, H) uint8 with zero point 128, float32 in a layer of rule 5; c (B, H) float32.

1. h lies in [-1, 1] whatever the activation, so its scale is 1/127, a constant. The input of the
   encoder, the embedding and the joint's hidden vector have scales of their own: measured on
   recordings or those of the model's integers (`Ranges`), the embedding's by its largest weight.
   Beyond them values saturate.
2. A weight has one scale an output, its largest magnitude over 127. Ties go to even.
3. The products are integer, so a row's sum does not depend on what it is batched with; scale, bias
   and cell are float32, element by element.
4. A layer is one product over its input and h, which share the scale 1/127; a first layer, whose
   input has another scale, is two. With the hard activation the slope 1/8 and the offset 1/2 of the
   gates i, f, o are in scale and bias, which leaves a clip.
5. A layer that is kept in float computes what `export.onnx.graph` does, on float32 activations: a layer's h
   becomes u8 where the next one wants it so. The embedding goes with the first prediction layer.

Weights lie in a second safetensors file of the model directory, (inputs, outputs) each; those of rule 5
in the first one.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

import numpy as np
import safetensors.numpy
from numpy.typing import NDArray

from export.onnx.graph import offsets
from export.onnx.int8_graph import BUILDERS, UNIT, ZERO, Int8Graph
from stream.model.directory import INT8_WEIGHTS, serialise
from stream.model.network import Network
from stream.model.quantisation import Quantisation

__all__ = ["Ranges", "build_int8", "quantise"]

LEVELS = 255  # of the joint's hidden vector, which is not negative

Arrays = dict[str, NDArray[np.generic]]
Floats = NDArray[np.float32]


@dataclass(frozen=True)
class Ranges:
    """Largest magnitudes that the int8 graphs represent.

    Attributes:
        x: of the encoder's input, normalised log-mel.
        joint: of the joint's hidden vector, after its ReLU.
    """

    x: float
    joint: float

    def __post_init__(self) -> None:
        for name in ("x", "joint"):
            if not 0.0 < (value := getattr(self, name)) < np.inf:
                raise ValueError(f"int8: the range of {name} is {value}, wants a positive number")

    @classmethod
    def of(cls, quantisation: Quantisation) -> Ranges:
        """Return the ranges whose scales are those of a model's integers, powers of two."""
        return cls(127.0 * 2.0**-quantisation.input, LEVELS * 2.0**-quantisation.joint)


def build_int8(
    network: Network,
    ranges: Ranges,
    float_layers: Collection[str] = (),
    *,
    standard: bool = False,
) -> dict[str, bytes]:
    """Build the three graphs and the file of their weights.

    Args:
        network: of number format float32.
        ranges: of what no weight bounds.
        float_layers: to keep in float32, by `Specification.layer_names`.
        standard: use operators of ONNX alone.
    Returns:
        contents by file name, as `stream.model.directory.writing` takes them.
    Raises:
        ValueError: there is no such layer.
    """
    network.specification.check_layers(float_layers, "float_layers")
    arrays = quantise(network, ranges, float_layers)
    weights = safetensors.numpy.save({name: np.ascontiguousarray(a) for name, a in arrays.items()})
    files = {INT8_WEIGHTS: weights}
    in_float = offsets(serialise(network)) if float_layers else {}
    for name, build in BUILDERS.items():
        graph = Int8Graph(
            arrays,
            offsets(weights),
            INT8_WEIGHTS,
            network=network,
            in_float=in_float,
            standard=standard,
        )
        build(graph)
        files[f"{name}.int8.onnx"] = graph.model(f"{name}.int8")
    return files


def quantise(network: Network, ranges: Ranges, float_layers: Collection[str] = ()) -> Arrays:
    """Return the arrays of the int8 graphs: weights, scales, biases and the embedding by name."""
    source, spec = network.arrays, network.specification
    arrays: Arrays = {
        "x.scale": np.array(ranges.x / 127.0, np.float32),
        "joint.scale": np.array(ranges.joint / LEVELS, np.float32),
    }

    def linear(name: str, weight: Floats, bias: Floats, scale: float) -> None:
        column = np.maximum(np.abs(weight).max(axis=1), 1e-12) / 127.0
        arrays[f"{name}.weight"] = np.rint(weight / column[:, None]).astype(np.int8).T
        arrays[f"{name}.scale"] = (column * scale).astype(np.float32)
        arrays[f"{name}.bias"] = bias.astype(np.float32)

    def gates(layer: str, weights: dict[str, tuple[Floats, float]], bias: Floats) -> None:
        slope = np.ones(len(bias), np.float32)
        offset = np.zeros(len(bias), np.float32)
        if spec.activation == "hard":
            size = len(bias) // 4
            for gate in (0, 1, 3):
                slope[gate * size : (gate + 1) * size] = 0.125
                offset[gate * size : (gate + 1) * size] = 0.5
        bias = bias * slope + offset
        for part, (weight, scale) in weights.items():
            linear(f"{layer}{part}", weight * slope[:, None], bias, scale)
            bias = np.zeros_like(bias)

    embedding = source["prediction.embedding"]
    largest = max(float(np.abs(embedding).max()), 1e-12)
    if "prediction.lstm.0" not in float_layers:
        start = np.full(
            (1, embedding.shape[1]), ZERO, np.uint8
        )  # of a sequence, at the id of blank
        table = (np.rint(embedding * (127.0 / largest)) + ZERO).astype(np.uint8)
        arrays["prediction.embedding"] = np.concatenate([table, start])
    first = {"encoder.pre": ranges.x / 127.0, "prediction.lstm": largest / 127.0}
    for stack in ("encoder.pre", "encoder.post", "prediction.lstm"):
        for n, layer in enumerate(network.layers(stack)):
            if f"{stack}.{n}" in float_layers:
                continue
            bias = layer["bias_ih"] + layer["bias_hh"]
            if n == 0 and stack in first:
                parts = {
                    ".input": (layer["weight_ih"], first[stack]),
                    "": (layer["weight_hh"], float(UNIT)),
                }
            else:
                joined = np.concatenate([layer["weight_ih"], layer["weight_hh"]], axis=1)
                parts = {"": (joined, float(UNIT))}
            gates(f"{stack}.{n}", parts, bias)
    for name, scale in (
        ("joint.encoder", float(UNIT)),
        ("joint.prediction", float(UNIT)),
        ("joint.output", ranges.joint / LEVELS),
    ):
        if name not in float_layers:
            linear(name, source[f"{name}.weight"], source[f"{name}.bias"], scale)
    return arrays
