"""Stacks of LSTM layers as nodes, in float32, int8 and integers: weights, states, one step.

float32   h, c (B, layers, H) float32, packed
int8      h.N (B, H) uint8 with zero point 128, float32 of a layer in float; c.N (B, H) float32
integers  h.N (B, H) uint8 with zero point 128; c.N (B, H) int16

N counts layers; a suffix such as ".pre" tells the stacks of one graph apart. Gate order i, f, g, o.

1. int8: a layer is one product over its input and h, which share the scale 1/127; a first layer, whose
   input has another scale, is two. With the hard activation the slope 1/8 and the offset 1/2 of the
   gates i, f, o are in scale and bias, which leaves a clip.
2. Integers: the gates' offset 1/2 is in the bias, an even multiple of the rounding's unit, so ties fall
   as without it. One clamp is the hard sigmoid of i, f and o; it may stand before the rounding since
   both are monotone and the limits integers. It also leaves g, offset too, twice the range that the
   hard tanh then clips. Saturation to int16 lies outside of both.
3. Integers: f c + i g and o times the clamped cell have up to 31 bits: int32, then float64.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from export.onnx import int8
from export.onnx.arithmetic import Arithmetic
from export.onnx.float32 import Float32Graph
from export.onnx.graph import FLOAT, INT16, INT32, UINT8, Graph, WeightFile
from export.onnx.int8 import UNIT, Int8Graph
from export.onnx.integer import IntegerGraph, fits_float32, stored_bias
from stream.integer.fixed import GATE_BITS, HALF_Q15, HIDDEN_SHIFT, ONE_Q12, ONE_Q15
from stream.integer.network import IntegerLayer
from stream.model.network import Network
from stream.model.specification import Specification
from stream.stage import Floats

Arrays = dict[str, NDArray[np.generic]]
Layer = Mapping[str, Floats]
Function = Callable[[str], str]


class Stack:
    """LSTM layers in a graph, with their states as inputs and outputs.

    Args:
        graph: to write into.
        names: of the layers.
        hidden: size of each.
        activation: "hard" or "soft".
        suffix: of the states' names.
    """

    def __init__(
        self, graph: Arithmetic, names: list[str], hidden: int, activation: str, suffix: str
    ) -> None:
        self._graph, self._names, self._hidden = graph, names, hidden
        self._activation, self._suffix = activation, suffix
        self._packed = type(graph) is Float32Graph
        self._states = list(self._packed_states() if self._packed else self._states_by_layer())

    @classmethod
    def of(cls, graph: Arithmetic, specification: Specification, prefix: str, suffix: str) -> Stack:
        """Return the layers of a model with a prefix such as "encoder.pre"."""
        names = [name for name in specification.layer_names if name.startswith(f"{prefix}.")]
        hidden = specification.shapes()[f"{names[0]}.weight_hh"][1]
        return cls(graph, names, hidden, specification.activation, suffix)

    def step(self, x: str) -> str:
        """Add one step over what the first layer takes; returns the last layer's output."""
        for n, name in enumerate(self._names):
            if n:
                x = self._graph.activations(x, name)
            h, c = self._states[n]
            x, h, c = self._layer(x, h, c, name)
            self._states[n] = h, c
        return x

    def finish(self) -> None:
        """Add the states after the steps as outputs of the graph."""
        graph, suffix = self._graph, self._suffix
        if not self._packed:
            for n, (name, state) in enumerate(zip(self._names, self._states, strict=True)):
                for leaf, value, kind in zip("hc", state, _kinds(graph, name), strict=True):
                    graph.output_last(value, f"{leaf}{suffix}.{n}.after", ["B", self._hidden], kind)
            return
        axis = graph.constant("axis_one", np.array([1], np.int64))
        for leaf, values in zip("hc", zip(*self._states, strict=True), strict=True):
            rows = [graph.node("Unsqueeze", [value, axis]) for value in values]
            packed = graph.node("Concat", rows, axis=1)
            graph.output(packed, f"{leaf}{suffix}.after", ["B", len(rows), self._hidden])

    def _layer(self, x: str, h: str, c: str, name: str) -> tuple[str, str, str]:
        """Add one step of a layer; returns its output and its state."""
        graph, activation = self._graph, self._activation
        if isinstance(graph, IntegerGraph):
            h, c = _integer_layer(graph, x, h, c, name)
        elif isinstance(graph, Int8Graph) and not graph.is_float(name):
            output, c = _int8_layer(graph, x, h, c, name, activation)
            return output, graph.octets(output), c
        elif isinstance(graph, Float32Graph):
            h, c = _float32_layer(graph, x, h, c, name, activation)
        return h, h, c

    def _packed_states(self) -> Iterator[tuple[str, str]]:
        graph, names, hidden = self._graph, self._names, self._hidden
        packed = [
            graph.input(f"{leaf}{self._suffix}", FLOAT, ["B", len(names), hidden]) for leaf in "hc"
        ]
        for n in range(len(names)):
            index = graph.constant(f"index.{n}", np.array(n, np.int64))
            h, c = (graph.node("Gather", [state, index], axis=1) for state in packed)
            yield h, c

    def _states_by_layer(self) -> Iterator[tuple[str, str]]:
        for n, name in enumerate(self._names):
            h, c = (
                self._graph.input(f"{leaf}{self._suffix}.{n}", kind, ["B", self._hidden])
                for leaf, kind in zip("hc", _kinds(self._graph, name), strict=True)
            )
            yield h, c


def _kinds(graph: Arithmetic, name: str) -> tuple[int, int]:
    """Return the types of a layer's h and c."""
    if isinstance(graph, Int8Graph):
        return FLOAT if graph.is_float(name) else UINT8, FLOAT
    return UINT8, INT16


def lstm_graph(layers: Sequence[Layer], activation: str) -> bytes:
    """Build one step of float32 layers: x (B, I), h, c (B, layers, H) -> y (B, H), h, c after."""
    arrays = {f"layer.{n}.{k}": a for n, layer in enumerate(layers) for k, a in layer.items()}
    graph = Float32Graph([WeightFile(arrays, None)])
    hidden = layers[0]["weight_hh"].shape[1]
    x = graph.input("x", FLOAT, ["B", layers[0]["weight_ih"].shape[1]])
    stack = Stack(graph, [f"layer.{n}" for n in range(len(layers))], hidden, activation, "")
    y = stack.step(x)
    stack.finish()
    graph.output(y, "y", ["B", hidden])
    return graph.model("lstm")


def layer_graph(layer: IntegerLayer) -> bytes:
    """Build one step of an integer layer: x (B, I), h.0 u8, c.0 int16 (B, H) -> h.0.after, c.0.after."""
    layers = {"layer.0": layer}
    graph = IntegerGraph([WeightFile(integer_arrays(layers), None)], layers=layers)
    x = graph.input("x", UINT8, ["B", layer.weight_ih.shape[1]])
    stack = Stack(graph, ["layer.0"], layer.weight_hh.shape[1], "hard", "")
    stack.step(x)
    stack.finish()
    return graph.model("layer.integer")


def _float32_layer(
    graph: Float32Graph, x: str, h: str, c: str, name: str, activation: str
) -> tuple[str, str]:
    """Add one step of a layer; returns h and c."""
    from_x = graph.gemm(x, f"{name}.weight_ih", f"{name}.bias_ih")
    from_h = graph.gemm(h, f"{name}.weight_hh", f"{name}.bias_hh")
    gates = graph.node("Add", [from_x, from_h])

    def sigmoid(a: str) -> str:
        return graph.node("HardSigmoid", [a], alpha=0.125, beta=0.5)

    def tanh(a: str) -> str:
        low = graph.constant("minus_one", np.array(-1.0, np.float32))
        return graph.node("Clip", [a, low, graph.constant("one", np.array(1.0, np.float32))])

    return _cell(graph, gates, c, (sigmoid, tanh) if activation == "hard" else None)


def _int8_layer(
    graph: Int8Graph, x: str, h: str, c: str, name: str, activation: str
) -> tuple[str, str]:
    """Add one step of a layer; returns h, float32, and c (rule 1)."""
    if graph.has(f"{name}.input.weight"):
        gates = graph.node("Add", [graph.product(x, f"{name}.input"), graph.product(h, name)])
    else:
        gates = graph.product(graph.node("Concat", [x, h], axis=1), name)
    bounds = {n: graph.constant(f"bound.{n}", np.array(n, np.float32)) for n in (-1, 0, 1)}

    def sigmoid(a: str) -> str:
        return graph.node("Clip", [a, bounds[0], bounds[1]])

    def tanh(a: str) -> str:
        return graph.node("Clip", [a, bounds[-1], bounds[1]])

    return _cell(graph, gates, c, (sigmoid, tanh) if activation == "hard" else None)


def _cell(
    graph: Graph, gates: str, c: str, functions: tuple[Function, Function] | None
) -> tuple[str, str]:
    """Add the cell after the gates' sums, (B, 4H); returns h and c.

    Args:
        functions: in place of sigmoid and tanh.
    """
    i, f, g, o = graph.split(gates, 4)
    sigmoid, tanh = functions or (
        lambda a: graph.node("Sigmoid", [a]),
        lambda a: graph.node("Tanh", [a]),
    )
    kept = graph.node("Mul", [sigmoid(f), c])
    c = graph.node("Add", [kept, graph.node("Mul", [sigmoid(i), tanh(g)])])
    return graph.node("Mul", [sigmoid(o), tanh(c)]), c


def _integer_layer(graph: IntegerGraph, x: str, h: str, c: str, name: str) -> tuple[str, str]:
    """Add one step of a layer; returns h and c (rules 2 and 3)."""
    i, f, g, o = _integer_gates(graph, x, h, name)
    kept = graph.node("Mul", [f, graph.node("Cast", [c], to=INT32)])
    p = graph.node("Add", [kept, graph.node("Mul", [i, g])])
    c = graph.node("Round", [graph.scaled_sum(p, -GATE_BITS)])
    c = graph.clip(c, -(1 << 15), (1 << 15) - 1, np.float64)
    clipped = graph.clip(c, -ONE_Q12, ONE_Q12, np.float64)
    u = graph.node("Mul", [graph.scaled_sum(o, -HIDDEN_SHIFT), clipped])
    h = graph.node("Cast", [graph.node("Round", [u])], to=FLOAT)
    return graph.quantise(h, 0), graph.node("Cast", [c], to=INT16)


def _integer_gates(graph: IntegerGraph, x: str, h: str, name: str) -> list[str]:
    """Add the gates i, f, g, o of a layer, int32: i, f, o in Q15, g in Q12."""
    layer = graph.layers[name]
    products = [(x, f"{name}.weight_ih", layer.shift_x), (h, f"{name}.weight_hh", layer.shift_h)]
    fits = fits_float32(layer.bound, _offset(layer))
    z = graph.sums(products, f"{name}.bias", layer.shift, fits)
    z = graph.clip(z, 0, ONE_Q15, np.float32)
    integers = graph.node("Cast", [graph.node("Round", [z])], to=INT32)
    i, f, g, o = graph.split(integers, 4)
    half = graph.constant("half", np.array(HALF_Q15, np.int32))
    return [i, f, graph.clip(graph.node("Sub", [g, half]), -ONE_Q12, ONE_Q12, np.int32), o]


def int8_arrays(
    network: Network, prefix: str, first_scale: float | None, float_layers: Collection[str]
) -> Arrays:
    """Return the arrays of a stack in int8 by name, except those of layers in float (rule 1).

    Args:
        prefix: of its layers.
        first_scale: of the first layer's input; None: that of h.
    """
    arrays: Arrays = {}
    for n, layer in enumerate(network.layers(prefix)):
        if (name := f"{prefix}.{n}") in float_layers:
            continue
        bias = layer["bias_ih"] + layer["bias_hh"]
        slope, offset = np.ones(len(bias), np.float32), np.zeros(len(bias), np.float32)
        if network.specification.activation == "hard":
            size = len(bias) // 4
            for gate in (0, 1, 3):
                slope[gate * size : (gate + 1) * size] = 0.125
                offset[gate * size : (gate + 1) * size] = 0.5
        bias = bias * slope + offset
        of_x, of_h = (layer[key] * slope[:, None] for key in ("weight_ih", "weight_hh"))
        if n or first_scale is None:
            of_both = np.concatenate([of_x, of_h], axis=1)
            arrays |= int8.linear_arrays(name, of_both, bias, float(UNIT))
        else:
            arrays |= int8.linear_arrays(f"{name}.input", of_x, bias, first_scale)
            arrays |= int8.linear_arrays(name, of_h, np.zeros_like(bias), float(UNIT))
    return arrays


def integer_arrays(layers: Mapping[str, IntegerLayer]) -> Arrays:
    """Return the arrays of layers in integers by name (rule 2)."""
    arrays: Arrays = {}
    for name, layer in layers.items():
        offset = _offset(layer)
        fits = fits_float32(layer.bound, offset)
        arrays[f"{name}.weight_ih"] = layer.weight_ih.T
        arrays[f"{name}.weight_hh"] = layer.weight_hh.T
        arrays[f"{name}.bias"] = stored_bias(layer.bias + np.int64(offset), layer.shift, fits)
    return arrays


def _offset(layer: IntegerLayer) -> int:
    """Return the offset of a layer's gates in its accumulators."""
    return HALF_Q15 << layer.shift
