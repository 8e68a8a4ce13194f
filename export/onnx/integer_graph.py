"""Integer graphs of a network: ONNX Runtime computes what `stream.integer.fixed` says, bit for bit.

Inputs and outputs are those of `export.onnx.graph`, but for the states, which are one array a layer:
h (B, H) uint8 with zero point 128, c (B, H) int16. f and g hold integers times a power of two. Rules by
number: docs/integer.md. Weights lie in a second safetensors file, int8, (inputs, outputs) each.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import safetensors.numpy
from numpy.typing import NDArray
from onnx import TensorProto

from export.onnx.graph import FLOAT, INT64, Graph, offsets
from export.onnx.integer_operators import (
    INT16,
    UINT8,
    ZERO,
    join,
    layer_arrays,
    linear_arrays,
    lstm_step,
    project,
    quantise,
    zero_point,
)
from stream.encoders.lstm import PAIR
from stream.front_end.log_mel import BINS
from stream.front_end.stacking import STACK
from stream.integer.network import IntegerLayer, IntegerLinear, IntegerNetwork
from stream.model.directory import INTEGER_WEIGHTS

__all__ = ["build_integer", "integer_arrays", "joint_graph", "layer_graph", "projection_graph"]

PROJECTIONS, OUTPUT = ("joint_encoder", "joint_prediction"), "joint_output"

Arrays = dict[str, NDArray[np.generic]]
States = list[tuple[str, str]]


def build_integer(
    network: IntegerNetwork, *, inside: bool = False, standard: bool = False
) -> dict[str, bytes]:
    """Build the three graphs and the file of their weights.

    Args:
        network: the integers, from `stream.integer.network.quantise`.
        inside: put the weights into the graphs themselves, for a model that never touches a disk.
        standard: use operators of ONNX alone.
    Returns:
        contents by file name, as `stream.model.directory.writing` takes them.
    """
    arrays = integer_arrays(network)
    weights = safetensors.numpy.save({name: np.ascontiguousarray(a) for name, a in arrays.items()})
    files = {} if inside else {INTEGER_WEIGHTS: weights}
    where = None if inside else offsets(weights)
    for name, build in (
        ("encoder", _encoder),
        ("prediction", _prediction),
        ("joint", _joint),
    ):
        graph = Graph(arrays, where, INTEGER_WEIGHTS, standard=standard)
        build(graph, network)
        files[f"{name}.integer.onnx"] = graph.model(f"{name}.integer")
    return files


def layer_graph(layer: IntegerLayer) -> bytes:
    """Build one step of a layer: x (B, I), h.0 u8, c.0 int16 (B, H) -> h.0.after, c.0.after."""
    graph = Graph(layer_arrays("layer.0", layer), None)
    x = graph.input("x", UINT8, ["B", layer.weight_ih.shape[1]])
    states = _states(graph, (layer,), "")
    _, states = _advance(graph, x, "layer", (layer,), states)
    _return_states(graph, states, (layer,), "")
    return graph.model("layer.integer")


def projection_graph(linear: IntegerLinear) -> bytes:
    """Build a projection to the joint: h (B, K) u8 -> e (B, N), integers times 2^-fe."""
    graph = Graph(linear_arrays("linear", linear, linear.shift_out), None)
    h = graph.input("h", UINT8, ["B", linear.weight.shape[1]])
    graph.output(project(graph, h, "linear", linear), "e", ["B", len(linear.weight)])
    return graph.model("projection.integer")


def joint_graph(linear: IntegerLinear, exponent: int) -> bytes:
    """Build a joint: f, g (B, J), integers times 2^-exponent -> logits (B, C)."""
    graph = Graph(linear_arrays(OUTPUT, linear, linear.exponent), None)
    shape: list[str | int] = ["B", linear.weight.shape[1]]
    f, g = (graph.input(name, FLOAT, shape) for name in ("f", "g"))
    logits, kind = join(graph, f, g, exponent, OUTPUT, linear)
    graph.output(logits, "logits", ["B", len(linear.weight)], kind)
    return graph.model("joint.integer")


def _layers(network: IntegerNetwork) -> Iterator[tuple[str, IntegerLayer]]:
    for stack, layers in (
        ("encoder.pre", network.pre),
        ("encoder.post", network.post),
        ("prediction.lstm", network.prediction),
    ):
        for n, layer in enumerate(layers):
            yield f"{stack}.{n}", layer


def integer_arrays(network: IntegerNetwork) -> Arrays:
    """Return the content of `weights.integer.safetensors`, by name."""
    table = network.embedding.astype(np.int16) + ZERO
    arrays: Arrays = {"prediction.embedding": table.astype(np.uint8)}
    for name, layer in _layers(network):
        arrays |= layer_arrays(name, layer)
    for name in PROJECTIONS:
        linear: IntegerLinear = getattr(network, name)
        arrays |= linear_arrays(name, linear, linear.shift_out)
    return arrays | linear_arrays(OUTPUT, network.joint_output, network.joint_output.exponent)


def _states(graph: Graph, layers: tuple[IntegerLayer, ...], suffix: str) -> States:
    states = []
    for n, layer in enumerate(layers):
        shape: list[str | int] = ["B", layer.weight_hh.shape[1]]
        h, c = f"h{suffix}.{n}", f"c{suffix}.{n}"
        states.append((graph.input(h, UINT8, shape), graph.input(c, INT16, shape)))
    return states


def _return_states(
    graph: Graph, states: States, layers: tuple[IntegerLayer, ...], suffix: str
) -> None:
    for n, ((h, c), layer) in enumerate(zip(states, layers, strict=True)):
        shape: list[str | int] = ["B", layer.weight_hh.shape[1]]
        graph.output(h, f"h{suffix}.{n}.after", shape, UINT8)
        graph.output(c, f"c{suffix}.{n}.after", shape, INT16)


def _advance(
    graph: Graph, x: str, stack: str, layers: tuple[IntegerLayer, ...], states: States
) -> tuple[str, States]:
    """Add one step of a stack over u8 activations; returns the last layer's h and the states."""
    after = []
    for n, (layer, (h, c)) in enumerate(zip(layers, states, strict=True)):
        x, c = lstm_step(graph, x, h, c, f"{stack}.{n}", layer)
        after.append((x, c))
    return x, after


def _encoder(graph: Graph, network: IntegerNetwork) -> None:
    spec = network.specification
    x = graph.input("x", FLOAT, ["B", PAIR, STACK * BINS])
    second = graph.input("second", FLOAT, ["B", 1])
    x = quantise(graph, x, network.quantisation.input)
    pre = _states(graph, network.pre, ".pre")
    post = _states(graph, network.post, ".post")
    halves = []
    for half in range(PAIR):
        index = graph.constant(f"index.{half}", np.array(half, np.int64))
        frame = graph.node("Gather", [x, index], axis=1)
        h, pre = _advance(graph, frame, "encoder.pre", network.pre, pre)
        halves.append(h)
    present = graph.node("Cast", [second], to=TensorProto.BOOL)
    halves[1] = graph.node("Where", [present, halves[1], zero_point(graph)])
    pair = graph.node("Concat", halves, axis=1)
    h, post = _advance(graph, pair, "encoder.post", network.post, post)
    f = project(graph, h, "joint_encoder", network.joint_encoder)
    graph.output(f, "f", ["B", spec.joint])
    _return_states(graph, pre, network.pre, ".pre")
    _return_states(graph, post, network.post, ".post")


def _prediction(graph: Graph, network: IntegerNetwork) -> None:
    token = graph.input("token", INT64, ["B"])
    states = _states(graph, network.prediction, "")
    x = graph.node("Gather", [graph.weight("prediction.embedding"), token], axis=0)
    h, states = _advance(graph, x, "prediction.lstm", network.prediction, states)
    g = project(graph, h, "joint_prediction", network.joint_prediction)
    graph.output(g, "g", ["B", network.specification.joint])
    _return_states(graph, states, network.prediction, "")


def _joint(graph: Graph, network: IntegerNetwork) -> None:
    spec = network.specification
    f = graph.input("f", FLOAT, ["B", spec.joint])
    g = graph.input("g", FLOAT, ["B", spec.joint])
    logits, kind = join(graph, f, g, network.joint_encoder.exponent, OUTPUT, network.joint_output)
    graph.output(logits, "logits", ["B", spec.vocabulary + 1], kind)
