"""int8 graphs of a network: u8 activations, s8 weights, scales that no batch changes.

Inputs and outputs are those of `export.graphs`, but for the states, which are one array a layer:
h (B, H) uint8 with zero point 128, c (B, H) float32.

1. h lies in [-1, 1] whatever the activation, so its scale is 1/127, a constant. The input of the
   encoder, the embedding and the joint's hidden vector have scales of their own: measured on
   recordings (`Ranges`), the embedding's by its largest weight. Beyond them values saturate.
2. A weight has one scale an output, its largest magnitude over 127. Ties go to even.
3. The products are integer, so a row's sum does not depend on what it is batched with; scale, bias
   and cell are float32, element by element.
4. A layer is one product over its input and h, which share the scale 1/127; a first layer, whose
   input has another scale, is two. With the hard activation the slope 1/8 and the offset 1/2 of the
   gates i, f, o are in scale and bias, which leaves a clip.

Weights lie in a second safetensors file of the model directory, (inputs, outputs) each.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import safetensors.numpy
from numpy.typing import NDArray
from onnx import TensorProto

from export.graphs import FLOAT, INT64, MICROSOFT, Graph, offsets
from stream.directory import INT8_WEIGHTS
from stream.features import BINS, STACK
from stream.network import TIME_STACK, Network

__all__ = ["Ranges", "build_int8", "quantise"]

UINT8 = TensorProto.UINT8
ZERO = 128  # of signed activations
UNIT = np.float32(1.0 / 127.0)  # scale of h
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


def build_int8(network: Network, ranges: Ranges) -> dict[str, bytes]:
    """Build the three graphs and the file of their weights.

    Args:
        network: of number format float32.
        ranges: measured on recordings.
    Returns:
        contents by file name, as `stream.directory.writing` takes them.
    """
    arrays = quantise(network, ranges)
    weights = safetensors.numpy.save({name: np.ascontiguousarray(a) for name, a in arrays.items()})
    files = {INT8_WEIGHTS: weights}
    for name, build in (
        ("encoder", _encoder),
        ("prediction", _prediction),
        ("joint", _joint),
    ):
        graph = Graph(arrays, offsets(weights), INT8_WEIGHTS)
        build(graph, network)
        files[f"{name}.int8.onnx"] = graph.model(f"{name}.int8")
    return files


def quantise(network: Network, ranges: Ranges) -> Arrays:
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
    start = np.full((1, embedding.shape[1]), ZERO, np.uint8)  # of a sequence, at the id of blank
    table = (np.rint(embedding * (127.0 / largest)) + ZERO).astype(np.uint8)
    arrays["prediction.embedding"] = np.concatenate([table, start])
    first = {"encoder.pre": ranges.x / 127.0, "prediction.lstm": largest / 127.0}
    for stack in ("encoder.pre", "encoder.post", "prediction.lstm"):
        for n, layer in enumerate(network.layers(stack)):
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
        ("encoder", float(UNIT)),
        ("prediction", float(UNIT)),
        ("output", ranges.joint / LEVELS),
    ):
        linear(f"joint.{name}", source[f"joint.{name}.weight"], source[f"joint.{name}.bias"], scale)
    return arrays


def _linear(graph: Graph, x: str, name: str, zero: int = ZERO) -> str:
    """Add the product of u8 activations and a weight, scaled and with its bias."""
    inputs = [
        x,
        graph.weight(f"{name}.weight"),
        graph.constant("one", np.array(1.0, np.float32)),
        graph.weight(f"{name}.scale"),
        graph.constant(f"zero.{zero}", np.array(zero, np.uint8)),
        "",
        graph.weight(f"{name}.bias"),
    ]
    return graph.node("MatMulIntegerToFloat", inputs, domain=MICROSOFT)


def _quantise(graph: Graph, x: str, scale: str, zero: int = ZERO) -> str:
    zero_point = graph.constant(f"zero.{zero}", np.array(zero, np.uint8))
    return graph.node("QuantizeLinear", [x, scale, zero_point])


def _cell(graph: Graph, gates: str, c: str, activation: str) -> tuple[str, str]:
    """Add the cell behind the gates' sums, (B, 4H); returns h as u8, and c."""
    first = graph.node("Split", [gates], outputs=4, axis=1, num_outputs=4)
    i, f, g, o = (first, *(f"{first}.{n}" for n in range(1, 4)))
    bounds = {n: graph.constant(f"bound.{n}", np.array(n, np.float32)) for n in (-1, 0, 1)}

    def sigmoid(a: str) -> str:
        if activation == "hard":
            return graph.node("Clip", [a, bounds[0], bounds[1]])
        return graph.node("Sigmoid", [a])

    def tanh(a: str) -> str:
        if activation == "hard":
            return graph.node("Clip", [a, bounds[-1], bounds[1]])
        return graph.node("Tanh", [a])

    kept = graph.node("Mul", [sigmoid(f), c])
    c = graph.node("Add", [kept, graph.node("Mul", [sigmoid(i), tanh(g)])])
    h = graph.node("Mul", [sigmoid(o), tanh(c)])
    return _quantise(graph, h, graph.constant("unit", np.array(UNIT))), c


States = list[tuple[str, str]]


def _states(graph: Graph, layers: int, hidden: int, suffix: str) -> States:
    return [
        (
            graph.input(f"h{suffix}.{n}", UINT8, ["B", hidden]),
            graph.input(f"c{suffix}.{n}", FLOAT, ["B", hidden]),
        )
        for n in range(layers)
    ]


def _return_states(graph: Graph, states: States, hidden: int, suffix: str) -> None:
    for n, (h, c) in enumerate(states):
        graph.output(h, f"h{suffix}.{n}.after", ["B", hidden], UINT8)
        graph.output(c, f"c{suffix}.{n}.after", ["B", hidden])


def _advance(
    graph: Graph, x: str, prefix: str, states: States, activation: str
) -> tuple[str, States]:
    """Add one step of a stack over u8 activations; returns the last layer's h and the states."""
    after = []
    for n, (h, c) in enumerate(states):
        layer = f"{prefix}.{n}"
        if f"{layer}.input.weight" in graph.arrays:
            parts = [_linear(graph, x, f"{layer}.input"), _linear(graph, h, layer)]
            gates = graph.node("Add", parts)
        else:
            gates = _linear(graph, graph.node("Concat", [x, h], axis=1), layer)
        x, c = _cell(graph, gates, c, activation)
        after.append((x, c))
    return x, after


def _encoder(graph: Graph, network: Network) -> None:
    spec = network.specification
    x = graph.input("x", FLOAT, ["B", TIME_STACK, STACK * BINS])
    second = graph.input("second", FLOAT, ["B", 1])
    x = _quantise(graph, x, graph.weight("x.scale"))
    pre = _states(graph, spec.pre_layers, spec.hidden, ".pre")
    post = _states(graph, spec.post_layers, spec.hidden, ".post")
    halves = []
    for half in range(TIME_STACK):
        index = graph.constant(f"index.{half}", np.array(half, np.int64))
        frame = graph.node("Gather", [x, index], axis=1)
        h, pre = _advance(graph, frame, "encoder.pre", pre, spec.activation)
        halves.append(h)
    present = graph.node("Cast", [second], to=TensorProto.BOOL)
    zero = graph.constant(f"zero.{ZERO}", np.array(ZERO, np.uint8))
    halves[1] = graph.node("Where", [present, halves[1], zero])
    pair = graph.node("Concat", halves, axis=1)
    h, post = _advance(graph, pair, "encoder.post", post, spec.activation)
    graph.output(_linear(graph, h, "joint.encoder"), "f", ["B", spec.joint])
    _return_states(graph, pre, spec.hidden, ".pre")
    _return_states(graph, post, spec.hidden, ".post")


def _prediction(graph: Graph, network: Network) -> None:
    spec = network.specification
    token = graph.input("token", INT64, ["B"])
    states = _states(graph, spec.prediction_layers, spec.prediction_hidden, "")
    x = graph.node("Gather", [graph.weight("prediction.embedding"), token], axis=0)
    h, states = _advance(graph, x, "prediction.lstm", states, spec.activation)
    graph.output(_linear(graph, h, "joint.prediction"), "g", ["B", spec.joint])
    _return_states(graph, states, spec.prediction_hidden, "")


def _joint(graph: Graph, network: Network) -> None:
    spec = network.specification
    f = graph.input("f", FLOAT, ["B", spec.joint])
    g = graph.input("g", FLOAT, ["B", spec.joint])
    hidden = graph.node("Relu", [graph.node("Add", [f, g])])
    hidden = _quantise(graph, hidden, graph.weight("joint.scale"), 0)
    logits = _linear(graph, hidden, "joint.output", 0)
    graph.output(logits, "logits", ["B", spec.vocabulary + 1])
