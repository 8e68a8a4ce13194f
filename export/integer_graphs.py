"""Integer graphs of a network: ONNX Runtime computes what `stream.fixed` says, bit for bit.

Inputs and outputs are those of `export.graphs`, but for the states, which are one array a layer:
h (B, H) uint8 with zero point 128, c (B, H) int16. f and g hold integers times a power of two. Rules by
number: docs/integer.md. Weights lie in a second safetensors file, int8, (inputs, outputs) each.

ONNX shifts unsigned integers only, so every rounding shift is a product with a power of two and a
rounding of a float to the nearest integer, half to even: fewer operators than shifts of integers take,
and two thirds of their time a layer. It is exact because no float is ever rounded otherwise:

1. Products of u8 activations and int8 weights are int32. They become float32 times a power of two,
   the bias is added: all of them integers below 2^24 in units of the accumulator's last bit, as
   is their sum in any order (rule 9's bound, `_fits_float32`). Where the bound is larger, products, left
   shifts and bias stay int32, and only the sum becomes a float64.
2. The gates' offset 1/2 is in the bias, an even multiple of the rounding's unit, so ties fall as
   without it. One clamp is the hard sigmoid of i, f and o; it may stand before the rounding since both
   are monotone and the limits integers. It also leaves g, offset too, twice the range that the hard
   tanh then cuts. Saturation to int16 lies outside of both.
3. f c + i g and o times the clamped cell have up to 31 bits: int32, then float64.
4. QuantizeLinear rounds half to even and saturates: it is rules 2, 5, 6 and the last step of h.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator
from typing import Any

import numpy as np
import safetensors.numpy
from numpy.typing import NDArray
from onnx import TensorProto

from export.graphs import FLOAT, INT64, MICROSOFT, Graph, offsets
from stream.backends.integer import FLOAT32_EXACT
from stream.directory import INTEGER_WEIGHTS
from stream.features import BINS, STACK
from stream.fixed import GATE_BITS, HALF_Q15, HIDDEN_SHIFT, JOINT_SHIFT, ONE_Q12, ONE_Q15
from stream.integer import IntegerLayer, IntegerLinear, IntegerNetwork
from stream.network import TIME_STACK

__all__ = [
    "build_integer",
    "integer_arrays",
    "joint_graph",
    "layer_graph",
    "projection_graph",
]

UINT8, INT16, INT32 = TensorProto.UINT8, TensorProto.INT16, TensorProto.INT32
DOUBLE = TensorProto.DOUBLE
ZERO = 128  # of signed activations, as u8

Arrays = dict[str, NDArray[np.generic]]
States = list[tuple[str, str]]


def build_integer(network: IntegerNetwork) -> dict[str, bytes]:
    """Build the three graphs and the file of their weights.

    Args:
        network: the integers, from `stream.integer.quantise`.
    Returns:
        contents by file name, as `stream.directory.writing` takes them.
    """
    arrays = integer_arrays(network)
    weights = safetensors.numpy.save({name: np.ascontiguousarray(a) for name, a in arrays.items()})
    files = {INTEGER_WEIGHTS: weights}
    for name, build in (
        ("encoder", _encoder),
        ("prediction", _prediction),
        ("joint", _joint),
    ):
        graph = Graph(arrays, offsets(weights), INTEGER_WEIGHTS)
        build(graph, network)
        files[f"{name}.integer.onnx"] = graph.model(f"{name}.integer")
    return files


def layer_graph(layer: IntegerLayer) -> bytes:
    """Build one step of an LSTM layer by itself.

    Inputs x (B, I), h.0 (B, H) uint8 with zero point 128, c.0 (B, H) int16; outputs h.0.after, c.0.after.
    """
    graph = Graph(_layer_arrays("layer.0", layer), None)
    x = graph.input("x", UINT8, ["B", layer.weight_ih.shape[1]])
    _, states = _advance(graph, x, "layer", (layer,), _states(graph, (layer,), ""))
    _return_states(graph, states, (layer,), "")
    return graph.model("layer.integer")


def projection_graph(linear: IntegerLinear) -> bytes:
    """Build a projection by itself: h (B, K) uint8 with zero point 128 -> e 2^-fe (B, N)."""
    graph = Graph(_linear_arrays("linear", linear, logits=False), None)
    h = graph.input("h", UINT8, ["B", linear.weight.shape[1]])
    graph.output(_project(graph, h, "linear", linear), "e", ["B", len(linear.weight)])
    return graph.model("projection.integer")


def joint_graph(output: IntegerLinear, exponent: int) -> bytes:
    """Build a joint by itself: f, g (B, J) of an exponent -> logits (B, C)."""
    graph = Graph(_linear_arrays("joint_output", output, logits=True), None)
    _join(graph, output, exponent)
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
        arrays |= _layer_arrays(name, layer)
    for name in ("joint_encoder", "joint_prediction", "joint_output"):
        arrays |= _linear_arrays(name, getattr(network, name), logits=name == "joint_output")
    return arrays


def _layer_arrays(name: str, layer: IntegerLayer) -> Arrays:
    bias = layer.bias + np.int64(_offset(layer))
    return {
        f"{name}.weight_ih": layer.weight_ih.T,
        f"{name}.weight_hh": layer.weight_hh.T,
        f"{name}.bias": np.ldexp(bias.astype(np.float32), -layer.shift)
        if _fits_float32(layer)
        else bias.astype(np.int32),
    }


def _linear_arrays(name: str, linear: IntegerLinear, *, logits: bool) -> Arrays:
    # Logits leave the graph in their own exponent, e and g as integers.
    right = linear.exponent if logits else linear.shift_out
    return {
        f"{name}.weight": linear.weight.T,
        f"{name}.bias": np.ldexp(linear.bias.astype(np.float32), -right)
        if _fits_float32(linear)
        else linear.bias,
    }


def _offset(layer: IntegerLayer) -> int:
    """Return the offset of a layer's gates in its accumulators."""
    return HALF_Q15 << layer.shift


def _fits_float32(layer: IntegerLayer | IntegerLinear) -> bool:
    """Return whether float32 holds every sum of a layer, with the gates' offset (rule 9)."""
    offset = _offset(layer) if isinstance(layer, IntegerLayer) else 0
    return int(layer.bound.max()) + offset < FLOAT32_EXACT


def _zero_point(graph: Graph, zero: int = ZERO) -> str:
    return graph.constant(f"zero.{zero}", np.array(zero, np.uint8))


def _power(graph: Graph, exponent: int, kind: type[np.float32] | type[np.float64]) -> str:
    """Add the constant 2^exponent."""
    value = np.ldexp(kind(1), exponent)
    return graph.constant(f"{kind.__name__}.two^{exponent}", np.array(value, kind))


def _clip(graph: Graph, a: str, low: int, high: int, kind: type[np.number[Any]]) -> str:
    """Add a, clamped to limits, of a's type."""
    limits = [
        graph.constant(f"{kind.__name__}.{limit}", np.array(limit, kind)) for limit in (low, high)
    ]
    return graph.node("Clip", [a, *limits])


def _scaled_product(
    graph: Graph, x: str, weight: str, exponent: int, bias: str = "", zero: int = ZERO
) -> str:
    """Add (x - zero) times a weight, times 2^exponent, plus the bias, in float32."""
    inputs = [
        x,
        graph.weight(weight),
        _power(graph, 0, np.float32),
        _power(graph, exponent, np.float32),
        _zero_point(graph, zero),
        "",
        graph.weight(bias) if bias else "",
    ]
    return graph.node("MatMulIntegerToFloat", inputs, domain=MICROSOFT)


def _shifted_product(graph: Graph, x: str, weight: str, left: int, zero: int = ZERO) -> str:
    """Add (x - zero) times a weight, shifted left, in int32."""
    inputs = [x, graph.weight(weight), _zero_point(graph, zero)]
    product = graph.node("MatMulInteger", inputs)
    if left == 0:
        return product
    factor = graph.constant(f"int.two^{left}", np.array(1 << left, np.int32))
    return graph.node("Mul", [product, factor])


def _sums(
    graph: Graph, products: list[tuple[str, str, int]], bias: str, right: int, fits: bool
) -> str:
    """Add the sum of products and a bias, times 2^-right, in float32 and to be rounded (1 above).

    Args:
        products: u8 activations, weight, shift to the left.
        fits: whether float32 holds the sums; where it does not they are rounded here, and what is
            beyond 2^24 even then lies beyond all limits.
    """
    if fits:
        last = len(products) - 1
        parts = [
            _scaled_product(graph, x, weight, left - right, bias if n == last else "")
            for n, (x, weight, left) in enumerate(products)
        ]
        return functools.reduce(lambda a, b: graph.node("Add", [a, b]), parts)
    parts = [_shifted_product(graph, *product) for product in products]
    sums = functools.reduce(lambda a, b: graph.node("Add", [a, b]), [*parts, graph.weight(bias)])
    return graph.node("Cast", [graph.node("Round", [_scaled_sum(graph, sums, -right)])], to=FLOAT)


def _scaled_sum(graph: Graph, sums: str, exponent: int) -> str:
    """Add int32 times 2^exponent, in float64."""
    wide = graph.node("Cast", [sums], to=DOUBLE)
    return graph.node("Mul", [wide, _power(graph, exponent, np.float64)])


def _quantise(graph: Graph, x: str, exponent: int, zero: int = ZERO) -> str:
    """Add x 2^exponent, rounded half to even, plus the zero point, saturated to u8."""
    scale = _power(graph, -exponent, np.float32)
    return graph.node("QuantizeLinear", [x, scale, _zero_point(graph, zero)])


def _gates(graph: Graph, x: str, h: str, name: str, layer: IntegerLayer) -> list[str]:
    """Add the gates i, f, g, o of a layer, int32, rule 3: i, f, o in Q15, g in Q12."""
    products = [
        (x, f"{name}.weight_ih", layer.shift_x),
        (h, f"{name}.weight_hh", layer.shift_h),
    ]
    z = _sums(graph, products, f"{name}.bias", layer.shift, _fits_float32(layer))
    z = _clip(graph, z, 0, ONE_Q15, np.float32)
    integers = graph.node("Cast", [graph.node("Round", [z])], to=INT32)
    first = graph.node("Split", [integers], outputs=4, axis=1, num_outputs=4)
    i, f, g, o = (first, *(f"{first}.{n}" for n in range(1, 4)))
    half = graph.constant("half", np.array(HALF_Q15, np.int32))
    return [i, f, _clip(graph, graph.node("Sub", [g, half]), -ONE_Q12, ONE_Q12, np.int32), o]


def _cell(graph: Graph, gates: list[str], c: str) -> tuple[str, str]:
    """Add the cell, rule 3; returns h as u8 and c as int16."""
    i, f, g, o = gates
    kept = graph.node("Mul", [f, graph.node("Cast", [c], to=INT32)])
    p = graph.node("Add", [kept, graph.node("Mul", [i, g])])
    c = graph.node("Round", [_scaled_sum(graph, p, -GATE_BITS)])
    c = _clip(graph, c, -(1 << 15), (1 << 15) - 1, np.float64)
    cut = _clip(graph, c, -ONE_Q12, ONE_Q12, np.float64)
    u = graph.node("Mul", [_scaled_sum(graph, o, -HIDDEN_SHIFT), cut])
    h = graph.node("Cast", [graph.node("Round", [u])], to=FLOAT)
    return _quantise(graph, h, 0), graph.node("Cast", [c], to=INT16)


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
        x, c = _cell(graph, _gates(graph, x, h, f"{stack}.{n}", layer), c)
        after.append((x, c))
    return x, after


def _project(graph: Graph, h: str, name: str, linear: IntegerLinear) -> str:
    """Add e = sat16(rhe(W h + b)), as e 2^-fe in float32, rule 5."""
    product = h, f"{name}.weight", linear.shift_in
    acc = _sums(graph, [product], f"{name}.bias", linear.shift_out, _fits_float32(linear))
    zero = graph.constant("zero.int16", np.array(0, np.int16))
    # In ONNX Runtime's own domain: ONNX' operators of this opset have no int16.
    unit, scale = _power(graph, 0, np.float32), _power(graph, -linear.exponent, np.float32)
    e = graph.node("QuantizeLinear", [acc, unit, zero], domain=MICROSOFT)
    return graph.node("DequantizeLinear", [e, scale, zero], domain=MICROSOFT)


def _encoder(graph: Graph, network: IntegerNetwork) -> None:
    spec = network.specification
    x = graph.input("x", FLOAT, ["B", TIME_STACK, STACK * BINS])
    second = graph.input("second", FLOAT, ["B", 1])
    x = _quantise(graph, x, network.quantisation.input)
    pre = _states(graph, network.pre, ".pre")
    post = _states(graph, network.post, ".post")
    halves = []
    for half in range(TIME_STACK):
        index = graph.constant(f"index.{half}", np.array(half, np.int64))
        frame = graph.node("Gather", [x, index], axis=1)
        h, pre = _advance(graph, frame, "encoder.pre", network.pre, pre)
        halves.append(h)
    present = graph.node("Cast", [second], to=TensorProto.BOOL)
    halves[1] = graph.node("Where", [present, halves[1], _zero_point(graph)])
    pair = graph.node("Concat", halves, axis=1)
    h, post = _advance(graph, pair, "encoder.post", network.post, post)
    f = _project(graph, h, "joint_encoder", network.joint_encoder)
    graph.output(f, "f", ["B", spec.joint])
    _return_states(graph, pre, network.pre, ".pre")
    _return_states(graph, post, network.post, ".post")


def _prediction(graph: Graph, network: IntegerNetwork) -> None:
    token = graph.input("token", INT64, ["B"])
    states = _states(graph, network.prediction, "")
    x = graph.node("Gather", [graph.weight("prediction.embedding"), token], axis=0)
    h, states = _advance(graph, x, "prediction.lstm", network.prediction, states)
    g = _project(graph, h, "joint_prediction", network.joint_prediction)
    graph.output(g, "g", ["B", network.specification.joint])
    _return_states(graph, states, network.prediction, "")


def _joint(graph: Graph, network: IntegerNetwork) -> None:
    _join(graph, network.joint_output, network.joint_encoder.exponent)


def _join(graph: Graph, linear: IntegerLinear, exponent: int) -> None:
    """Add rules 6 and 7 of f and g, which have the given exponent."""
    classes, joint = linear.weight.shape
    f, g = graph.input("f", FLOAT, ["B", joint]), graph.input("g", FLOAT, ["B", joint])
    joined = graph.node(
        "Add", [f, g]
    )  # of 17 bits; what is negative saturates to 0, as by the ReLU
    a = _quantise(graph, joined, exponent - JOINT_SHIFT, 0)
    weight, bias = "joint_output.weight", "joint_output.bias"
    shape: list[str | int] = ["B", classes]
    if _fits_float32(linear):
        logits = _scaled_product(graph, a, weight, linear.shift_in - linear.exponent, bias, 0)
        graph.output(logits, "logits", shape)
    else:
        product = _shifted_product(graph, a, weight, linear.shift_in, 0)
        sums = graph.node("Add", [product, graph.weight(bias)])
        graph.output(_scaled_sum(graph, sums, -linear.exponent), "logits", shape, DOUBLE)
