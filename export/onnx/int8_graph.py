"""The graphs of `export.onnx.int8`: its rules 3, 4 and 5 as nodes, over the arrays that it makes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from onnx import TensorProto

from export.onnx.graph import FLOAT, INT64, Graph, cell, embed
from stream.encoders.lstm import PAIR
from stream.front_end.log_mel import BINS
from stream.front_end.stacking import STACK
from stream.model.directory import WEIGHTS
from stream.model.network import Network

__all__ = ["BUILDERS", "UNIT", "ZERO", "Int8Graph"]

UINT8 = TensorProto.UINT8
ZERO = 128  # of signed activations
UNIT = np.float32(1.0 / 127.0)  # scale of h


@dataclass
class Int8Graph(Graph):
    """A graph of int8 layers and of layers in float.

    Attributes:
        network: the model.
        in_float: (offset, length) of its arrays in the model directory's first file.
        octets: activations as u8, by their float32.
    """

    network: Network = field(kw_only=True)
    in_float: Mapping[str, tuple[int, int]] = field(kw_only=True)
    octets: dict[str, str] = field(default_factory=dict, init=False)

    def weight(self, name: str) -> str:
        """Return an array of the int8 layers, or one of the network for a layer in float."""
        if name in self.arrays:
            return super().weight(name)
        return self.external(name, self.network.arrays[name], WEIGHTS, *self.in_float[name])

    def is_float(self, layer: str) -> bool:
        """Return whether a layer is kept in float."""
        return f"{layer}.scale" not in self.arrays

    def kind(self, layer: str) -> int:
        """Return the type of an LSTM layer's h."""
        return FLOAT if self.is_float(layer) else UINT8

    def quantise(self, x: str, scale: str, zero: int = ZERO) -> str:
        """Add float32 activations as u8."""
        return self.node("QuantizeLinear", [x, scale, self.zero_point(zero)])

    def hidden(self, h: str, layer: str) -> str:
        """Return h, float32, as a layer takes it."""
        return h if self.is_float(layer) else self.hidden_octets(h)

    def hidden_octets(self, h: str) -> str:
        """Return h, float32, as u8."""
        if h not in self.octets:
            self.octets[h] = self.quantise(h, self.constant("unit", np.array(UNIT)))
        return self.octets[h]

    def product(self, x: str, name: str, zero: int = ZERO) -> str:
        """Add the product of u8 activations and a weight, scaled and with its bias."""
        inputs = [
            x,
            self.weight(f"{name}.weight"),
            self.constant("one", np.array(1.0, np.float32)),
            self.weight(f"{name}.scale"),
            self.zero_point(zero),
            "",
            self.weight(f"{name}.bias"),
        ]
        return self.scaled_product(inputs)

    def project(self, h: str, name: str) -> str:
        """Add a linear layer of the joint over h, float32."""
        if self.is_float(name):
            return self.linear(h, f"{name}.weight", f"{name}.bias")
        return self.product(self.hidden_octets(h), name)

    def zero(self, layer: str) -> str:
        """Return h of zero, as a layer takes it."""
        if self.is_float(layer):
            return self.constant("zero", np.array(0, np.float32))
        return self.zero_point(ZERO)

    def zero_point(self, zero: int) -> str:
        """Return a zero point."""
        return self.constant(f"zero.{zero}", np.array(zero, np.uint8))


def _cell(graph: Graph, gates: str, c: str, activation: str) -> tuple[str, str]:
    """Add the cell behind the gates' sums, (B, 4H), of rule 4; returns h and c."""
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
    return graph.node("Mul", [sigmoid(o), tanh(c)]), c


States = list[tuple[str, str]]


def _states(graph: Int8Graph, prefix: str, layers: int, hidden: int, suffix: str) -> States:
    return [
        (
            graph.input(f"h{suffix}.{n}", graph.kind(f"{prefix}.{n}"), ["B", hidden]),
            graph.input(f"c{suffix}.{n}", FLOAT, ["B", hidden]),
        )
        for n in range(layers)
    ]


def _return_states(graph: Int8Graph, states: States, prefix: str, hidden: int, suffix: str) -> None:
    for n, (h, c) in enumerate(states):
        kind = graph.kind(f"{prefix}.{n}")
        graph.output(h, f"h{suffix}.{n}.after", ["B", hidden], kind)
        graph.output(c, f"c{suffix}.{n}.after", ["B", hidden])


def _advance(graph: Int8Graph, x: str, prefix: str, states: States) -> tuple[str, States]:
    """Add one step of a stack.

    Args:
        x: as the first layer takes it.
    Returns:
        the last layer's h, float32, and the states.
    """
    activation = graph.network.specification.activation
    after = []
    hidden = ""
    for n, (h, c) in enumerate(states):
        layer = f"{prefix}.{n}"
        if n:
            x = graph.hidden(hidden, layer)
        if graph.is_float(layer):
            hidden, c = cell(graph, x, h, c, layer, activation)
            after.append((hidden, c))
            continue
        if f"{layer}.input.weight" in graph.arrays:
            parts = [graph.product(x, f"{layer}.input"), graph.product(h, layer)]
            gates = graph.node("Add", parts)
        else:
            gates = graph.product(graph.node("Concat", [x, h], axis=1), layer)
        hidden, c = _cell(graph, gates, c, activation)
        after.append((graph.hidden_octets(hidden), c))
    return hidden, after


def _encoder(graph: Int8Graph) -> None:
    spec = graph.network.specification
    x = graph.input("x", FLOAT, ["B", PAIR, STACK * BINS])
    second = graph.input("second", FLOAT, ["B", 1])
    pre = _states(graph, "encoder.pre", spec.pre_layers, spec.hidden, ".pre")
    post = _states(graph, "encoder.post", spec.post_layers, spec.hidden, ".post")
    if not graph.is_float("encoder.pre.0"):
        x = graph.quantise(x, graph.weight("x.scale"))
    halves = []
    for half in range(PAIR):
        index = graph.constant(f"index.{half}", np.array(half, np.int64))
        frame = graph.node("Gather", [x, index], axis=1)
        h, pre = _advance(graph, frame, "encoder.pre", pre)
        halves.append(graph.hidden(h, "encoder.post.0"))
    present = graph.node("Cast", [second], to=TensorProto.BOOL)
    zero = graph.zero("encoder.post.0")
    halves[1] = graph.node("Where", [present, halves[1], zero])
    h, post = _advance(graph, graph.node("Concat", halves, axis=1), "encoder.post", post)
    graph.output(graph.project(h, "joint.encoder"), "f", ["B", spec.joint])
    _return_states(graph, pre, "encoder.pre", spec.hidden, ".pre")
    _return_states(graph, post, "encoder.post", spec.hidden, ".post")


def _prediction(graph: Int8Graph) -> None:
    spec = graph.network.specification
    token = graph.input("token", INT64, ["B"])
    states = _states(graph, "prediction.lstm", spec.prediction_layers, spec.prediction_hidden, "")
    if graph.is_float("prediction.lstm.0"):
        x = embed(graph, token, spec.vocabulary)
    else:
        x = graph.node("Gather", [graph.weight("prediction.embedding"), token], axis=0)
    h, states = _advance(graph, x, "prediction.lstm", states)
    graph.output(graph.project(h, "joint.prediction"), "g", ["B", spec.joint])
    _return_states(graph, states, "prediction.lstm", spec.prediction_hidden, "")


def _joint(graph: Int8Graph) -> None:
    spec = graph.network.specification
    f = graph.input("f", FLOAT, ["B", spec.joint])
    g = graph.input("g", FLOAT, ["B", spec.joint])
    hidden = graph.node("Relu", [graph.node("Add", [f, g])])
    if graph.is_float("joint.output"):
        logits = graph.linear(hidden, "joint.output.weight", "joint.output.bias")
    else:
        hidden = graph.quantise(hidden, graph.weight("joint.scale"), 0)
        logits = graph.product(hidden, "joint.output", 0)
    graph.output(logits, "logits", ["B", spec.vocabulary + 1])


BUILDERS = {"encoder": _encoder, "prediction": _prediction, "joint": _joint}
