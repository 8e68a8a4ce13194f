"""ONNX graphs of a network, written from its specification, not traced.

Three graphs, each one step of a stream over a batch of any size B, float32:

    encoder     x (B, 2, 240), second (B, 1), h.pre, c.pre, h.post, c.post (B, layers, H)
                -> f (B, J), the four states after
    prediction  token (B,) int64, blank for start; h, c (B, layers, P) -> g (B, J), h, c
    joint       f (B, J), g (B, J) -> logits (B, C)

`second` is 0 where the second half of the pair lies past the end of the stream, else 1. Weights are
not in the graphs: they are external data in the model directory's `weights.safetensors`, under the
same names, in the layout that they have there.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from stream.encoders.lstm import PAIR
from stream.front_end.log_mel import BINS
from stream.front_end.stacking import STACK
from stream.model.directory import FORMAT, WEIGHTS
from stream.model.network import Network
from stream.model.specification import ModelError

__all__ = ["Graph", "build_graphs", "cell", "embed", "lstm_graph", "offsets"]

OPSET = 18
IR_VERSION = 10
FLOAT, INT64 = TensorProto.FLOAT, TensorProto.INT64
MICROSOFT = "com.microsoft"  # ONNX Runtime's own operators


def build_graphs(network: Network, weights: bytes | None = None) -> dict[str, bytes]:
    """Build the three graphs.

    Args:
        network: of number format float32.
        weights: the safetensors file that the graphs shall point into; None puts the weights into
            the graphs themselves, for a model that never touches a disk.
    Returns:
        serialised models by file name.
    Raises:
        ModelError: the network rounds to a number format that ONNX Runtime does not have.
    """
    if network.specification.number_format != "float32":
        raise ModelError(
            f"ONNX graphs compute float32, the model's number format is "
            f"{network.specification.number_format}: run it on the numpy backend",
            network.path,
        )
    where = None if weights is None else offsets(weights)
    builders = {
        "encoder.onnx": _encoder,
        "prediction.onnx": _prediction,
        "joint.onnx": _joint,
    }
    graphs = {}
    for name, build in builders.items():
        graph = Graph(network.arrays, where)
        build(graph, network)
        graphs[name] = graph.model(name.removesuffix(".onnx"))
    return graphs


def lstm_graph(layers: list[Mapping[str, NDArray[np.float32]]], activation: str) -> bytes:
    """Build one step of a stack of LSTM layers: x (B, I), h, c (B, layers, H) -> y (B, H), h, c."""
    arrays = {f"layer.{n}.{k}": a for n, layer in enumerate(layers) for k, a in layer.items()}
    graph = Graph(arrays, None)
    hidden = layers[0]["weight_hh"].shape[1]
    graph.input("x", FLOAT, ["B", layers[0]["weight_ih"].shape[1]])
    y = _stack(graph, "x", "layer", len(layers), hidden, activation, "")
    graph.output(graph.node("Identity", [y]), "y", ["B", hidden])
    return graph.model("lstm")


@dataclass
class Graph:
    """A graph under construction; names are made here.

    Attributes:
        arrays: weights by name.
        offsets: (offset, length) of each in the file `location`; None: they go into the graph.
        location: the file beside the graph that has the weights.
        standard: use operators of ONNX alone, for importers that know no others.
    """

    arrays: Mapping[str, NDArray[Any]]
    offsets: Mapping[str, tuple[int, int]] | None
    location: str = WEIGHTS
    standard: bool = field(default=False, kw_only=True)
    nodes: list[onnx.NodeProto] = field(default_factory=list)
    inputs: list[onnx.ValueInfoProto] = field(default_factory=list)
    outputs: list[onnx.ValueInfoProto] = field(default_factory=list)
    initializers: dict[str, TensorProto] = field(default_factory=dict)

    def node(self, operator: str, inputs: list[str], outputs: int = 1, **attributes: Any) -> str:
        """Add a node; returns its output, or the first of several, which are numbered."""
        name = f"{operator.lower()}.{len(self.nodes)}"
        names = [name] + [f"{name}.{n}" for n in range(1, outputs)]
        self.nodes.append(helper.make_node(operator, inputs, names, name=name, **attributes))
        return name

    def input(self, name: str, kind: int, shape: list[str | int]) -> str:
        """Add an input of the graph."""
        self.inputs.append(helper.make_tensor_value_info(name, kind, shape))
        return name

    def output(self, value: str, name: str, shape: list[str | int], kind: int = FLOAT) -> None:
        """Give a value out under a name."""
        self.nodes.append(helper.make_node("Identity", [value], [name], name=f"output.{name}"))
        self.outputs.append(helper.make_tensor_value_info(name, kind, shape))

    def constant(self, name: str, value: NDArray[Any]) -> str:
        """Add a small array, inside the file."""
        self.initializers[name] = numpy_helper.from_array(value, name)
        return name

    def weight(self, name: str) -> str:
        """Return an array of the network as an initializer, inside or outside the file."""
        if name in self.initializers:
            return name
        array = self.arrays[name]
        if self.offsets is None:
            self.initializers[name] = numpy_helper.from_array(np.ascontiguousarray(array), name)
            return name
        return self.external(name, array, self.location, *self.offsets[name])

    def external(
        self, name: str, array: NDArray[Any], location: str, offset: int, length: int
    ) -> str:
        """Add an array that lies in a file beside the graph."""
        tensor = TensorProto(
            name=name,
            data_type=helper.np_dtype_to_tensor_dtype(array.dtype),
            dims=array.shape,
            data_location=TensorProto.EXTERNAL,
        )
        for key, value in (("location", location), ("offset", offset), ("length", length)):
            tensor.external_data.add(key=key, value=str(value))
        self.initializers[name] = tensor
        return name

    def linear(self, x: str, weight: str, bias: str) -> str:
        """Add y = x W^T + b, with the weight as the network has it."""
        return self.node("Gemm", [x, self.weight(weight), self.weight(bias)], transB=1)

    def scaled_product(self, inputs: list[str]) -> str:
        """Add a product of u8 activations and s8 weights, as float32, scaled and with a bias.

        Args:
            inputs: x, weight, 1.0, scale, zero point of x, "", bias or "".
        """
        if not self.standard:
            return self.node("MatMulIntegerToFloat", inputs, domain=MICROSOFT)
        x, weight, _, scale, zero, _, bias = inputs
        product = self.node("Cast", [self.node("MatMulInteger", [x, weight, zero])], to=FLOAT)
        scaled = self.node("Mul", [product, scale])
        return self.node("Add", [scaled, bias]) if bias else scaled

    def model(self, name: str) -> bytes:
        """Return the graph, serialised, under a name."""
        used = {value for node in self.nodes for value in node.input}
        initializers = [tensor for each, tensor in self.initializers.items() if each in used]
        graph = helper.make_graph(self.nodes, name, self.inputs, self.outputs, initializers)
        model = helper.make_model(
            graph,
            opset_imports=[helper.make_opsetid("", OPSET), *self._further_opsets()],
            ir_version=IR_VERSION,
            producer_name="rill",
        )
        helper.set_model_props(model, {"format": FORMAT, "graph": name})
        if self.offsets is None:  # the checker wants external files to be there
            onnx.checker.check_model(model, full_check=True)
        return bytes(model.SerializeToString())

    def _further_opsets(self) -> list[onnx.OperatorSetIdProto]:
        return [helper.make_opsetid(d, 1) for d in {node.domain for node in self.nodes} - {""}]


def cell(graph: Graph, x: str, h: str, c: str, prefix: str, activation: str) -> tuple[str, str]:
    """Add one step of one layer; returns the new h and c."""
    from_x = graph.linear(x, f"{prefix}.weight_ih", f"{prefix}.bias_ih")
    from_h = graph.linear(h, f"{prefix}.weight_hh", f"{prefix}.bias_hh")
    gates = graph.node("Add", [from_x, from_h])
    first = graph.node("Split", [gates], outputs=4, axis=1, num_outputs=4)
    i, f, g, o = (first, *(f"{first}.{n}" for n in range(1, 4)))

    def sigmoid(a: str) -> str:
        if activation == "hard":
            return graph.node("HardSigmoid", [a], alpha=0.125, beta=0.5)
        return graph.node("Sigmoid", [a])

    def tanh(a: str) -> str:
        if activation == "hard":
            low = graph.constant("minus_one", np.array(-1.0, np.float32))
            return graph.node("Clip", [a, low, graph.constant("one", np.array(1.0, np.float32))])
        return graph.node("Tanh", [a])

    kept = graph.node("Mul", [sigmoid(f), c])
    added = graph.node("Mul", [sigmoid(i), tanh(g)])
    new_c = graph.node("Add", [kept, added])
    return graph.node("Mul", [sigmoid(o), tanh(new_c)]), new_c


def _stack(
    graph: Graph, x: str, prefix: str, layers: int, hidden: int, activation: str, suffix: str
) -> str:
    """Add one step of a stack with its states as inputs and outputs; returns its output."""
    states = _states(graph, layers, hidden, suffix)
    y, states = _advance(graph, x, prefix, states, activation)
    _return_states(graph, states, hidden, suffix)
    return y


def _states(graph: Graph, layers: int, hidden: int, suffix: str) -> list[tuple[str, str]]:
    """Add packed states, (B, layers, H) each, as inputs; returns h and c of each layer."""
    packed = [graph.input(f"{kind}{suffix}", FLOAT, ["B", layers, hidden]) for kind in "hc"]
    states = []
    for n in range(layers):
        index = graph.constant(f"index.{n}", np.array(n, np.int64))
        h, c = (graph.node("Gather", [state, index], axis=1) for state in packed)
        states.append((h, c))
    return states


def _advance(
    graph: Graph, x: str, prefix: str, states: list[tuple[str, str]], activation: str
) -> tuple[str, list[tuple[str, str]]]:
    after = []
    for n, (h, c) in enumerate(states):
        x, c = cell(graph, x, h, c, f"{prefix}.{n}", activation)
        after.append((x, c))
    return x, after


def _return_states(graph: Graph, states: list[tuple[str, str]], hidden: int, suffix: str) -> None:
    axis = graph.constant("axis_one", np.array([1], np.int64))
    for kind, values in zip("hc", zip(*states, strict=True), strict=True):
        rows = [graph.node("Unsqueeze", [value, axis]) for value in values]
        packed = graph.node("Concat", rows, axis=1)
        graph.output(packed, f"{kind}{suffix}.after", ["B", len(states), hidden])


def _encoder(graph: Graph, network: Network) -> None:
    spec = network.specification
    x = graph.input("x", FLOAT, ["B", PAIR, STACK * BINS])
    second = graph.input("second", FLOAT, ["B", 1])
    states = _states(graph, spec.pre_layers, spec.hidden, ".pre")
    halves = []
    for half in range(PAIR):
        index = graph.constant(f"index.{half}", np.array(half, np.int64))
        frame = graph.node("Gather", [x, index], axis=1)
        h, states = _advance(graph, frame, "encoder.pre", states, spec.activation)
        halves.append(h)
    _return_states(graph, states, spec.hidden, ".pre")
    masked = graph.node("Mul", [halves[1], second])
    pair = graph.node("Concat", [halves[0], masked], axis=1)
    post = _stack(
        graph, pair, "encoder.post", spec.post_layers, spec.hidden, spec.activation, ".post"
    )
    f = graph.linear(post, "joint.encoder.weight", "joint.encoder.bias")
    graph.output(f, "f", ["B", spec.joint])


def embed(graph: Graph, token: str, vocabulary: int) -> str:
    """Add the embedding of tokens.

    Start of sequence, the id of blank, is a zero vector; the embedding has no row for it.
    """
    last = graph.constant("last_piece", np.array(vocabulary - 1, np.int64))
    is_piece = graph.node("Cast", [graph.node("LessOrEqual", [token, last])], to=FLOAT)
    known = graph.node("Min", [token, last])
    embedded = graph.node("Gather", [graph.weight("prediction.embedding"), known], axis=0)
    axis = graph.constant("axis_one", np.array([1], np.int64))
    return graph.node("Mul", [embedded, graph.node("Unsqueeze", [is_piece, axis])])


def _prediction(graph: Graph, network: Network) -> None:
    spec = network.specification
    token = graph.input("token", INT64, ["B"])
    x = embed(graph, token, spec.vocabulary)
    h = _stack(
        graph,
        x,
        "prediction.lstm",
        spec.prediction_layers,
        spec.prediction_hidden,
        spec.activation,
        "",
    )
    g = graph.linear(h, "joint.prediction.weight", "joint.prediction.bias")
    graph.output(g, "g", ["B", spec.joint])


def _joint(graph: Graph, network: Network) -> None:
    spec = network.specification
    f = graph.input("f", FLOAT, ["B", spec.joint])
    g = graph.input("g", FLOAT, ["B", spec.joint])
    hidden = graph.node("Relu", [graph.node("Add", [f, g])])
    logits = graph.linear(hidden, "joint.output.weight", "joint.output.bias")
    graph.output(logits, "logits", ["B", spec.vocabulary + 1])


def offsets(weights: bytes) -> dict[str, tuple[int, int]]:
    """Return (offset, length) of each array in a safetensors file."""
    size = int.from_bytes(weights[:8], "little")
    header = json.loads(weights[8 : 8 + size])
    return {
        name: (
            8 + size + entry["data_offsets"][0],
            entry["data_offsets"][1] - entry["data_offsets"][0],
        )
        for name, entry in header.items()
        if name != "__metadata__"
    }
