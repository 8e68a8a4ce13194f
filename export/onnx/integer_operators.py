"""Operators of the integer arithmetic in ONNX Runtime's, exact: `export.onnx.integer_graph` is made of them.

ONNX shifts unsigned integers only, so every rounding shift is a product with a power of two and a
rounding of a float to the nearest integer, half to even: fewer operators than shifts of integers take,
and two thirds of their time a layer. It is exact because no float is ever rounded otherwise:

1. Products of u8 activations and int8 weights are int32. They become float32 times a power of two,
   the bias is added: all of them integers below 2^24 in units of the accumulator's last bit, as
   is their sum in any order (rule 9's bound, `fits_float32`). Where the bound is larger, products, left
   shifts and bias stay int32, and only the sum becomes a float64.
2. The gates' offset 1/2 is in the bias, an even multiple of the rounding's unit, so ties fall as
   without it. One clamp is the hard sigmoid of i, f and o; it may stand before the rounding since both
   are monotone and the limits integers. It also leaves g, offset too, twice the range that the hard
   tanh then cuts. Saturation to int16 lies outside of both.
3. f c + i g and o times the clamped cell have up to 31 bits: int32, then float64.
4. QuantizeLinear rounds half to even and saturates: it is rules 2, 5, 6 and the last step of h.

Signed activations are u8 with zero point 128, for the products of u8 and int8 are the fast ones. Rules
by number: docs/integer.md.
"""

from __future__ import annotations

import functools
from typing import Any

import numpy as np
from numpy.typing import NDArray
from onnx import TensorProto

from export.onnx.graph import FLOAT, MICROSOFT, Graph
from stream.backends.integer import FLOAT32_EXACT
from stream.integer.fixed import GATE_BITS, HALF_Q15, HIDDEN_SHIFT, JOINT_SHIFT, ONE_Q12, ONE_Q15
from stream.integer.network import IntegerLayer, IntegerLinear

__all__ = [
    "INT16",
    "UINT8",
    "ZERO",
    "fits_float32",
    "join",
    "layer_arrays",
    "linear_arrays",
    "lstm_step",
    "project",
    "quantise",
    "zero_point",
]

UINT8, INT16, INT32 = TensorProto.UINT8, TensorProto.INT16, TensorProto.INT32
DOUBLE = TensorProto.DOUBLE
ZERO = 128  # of signed activations, as u8

Arrays = dict[str, NDArray[np.generic]]


def fits_float32(layer: IntegerLayer | IntegerLinear) -> bool:
    """Return whether float32 holds every sum of a layer, with the gates' offset (rule 9)."""
    offset = _offset(layer) if isinstance(layer, IntegerLayer) else 0
    return int(layer.bound.max()) + offset < FLOAT32_EXACT


def layer_arrays(name: str, layer: IntegerLayer) -> Arrays:
    """Return the arrays that `lstm_step` wants of a layer, by name."""
    bias = layer.bias + np.int64(_offset(layer))
    return {
        f"{name}.weight_ih": layer.weight_ih.T,
        f"{name}.weight_hh": layer.weight_hh.T,
        f"{name}.bias": _bias(bias, layer.shift, fits_float32(layer)),
    }


def linear_arrays(name: str, linear: IntegerLinear, right: int) -> Arrays:
    """Return the arrays that `project`, or `join`, wants of a linear layer, by name.

    Args:
        right: the shift of its sums: `shift_out` for `project`, the exponent for `join`.
    """
    return {
        f"{name}.weight": linear.weight.T,
        f"{name}.bias": _bias(linear.bias, right, fits_float32(linear)),
    }


def lstm_step(
    graph: Graph, x: str, h: str, c: str, name: str, layer: IntegerLayer
) -> tuple[str, str]:
    """Add one step of an LSTM layer, rule 3; x and h are u8, c int16; returns h and c."""
    return _cell(graph, _gates(graph, x, h, name, layer), c)


def project(graph: Graph, h: str, name: str, linear: IntegerLinear) -> str:
    """Add e = sat16(rhe(W h + b)), as e 2^-fe in float32, rule 5."""
    product = h, f"{name}.weight", linear.shift_in
    acc = _sums(graph, [product], f"{name}.bias", linear.shift_out, fits_float32(linear))
    if graph.standard:
        e = _clip(graph, graph.node("Round", [acc]), -(1 << 15), (1 << 15) - 1, np.float32)
        return graph.node("Mul", [e, _power(graph, -linear.exponent, np.float32)])
    zero = graph.constant("zero.int16", np.array(0, np.int16))
    # In ONNX Runtime's own domain: ONNX' operators of this opset have no int16.
    unit, scale = _power(graph, 0, np.float32), _power(graph, -linear.exponent, np.float32)
    e = graph.node("QuantizeLinear", [acc, unit, zero], domain=MICROSOFT)
    return graph.node("DequantizeLinear", [e, scale, zero], domain=MICROSOFT)


def join(
    graph: Graph, f: str, g: str, exponent: int, name: str, linear: IntegerLinear
) -> tuple[str, int]:
    """Add the joint, rules 6 and 7; returns the logits and their type.

    Args:
        f, g: integers times 2^-exponent, in float32.
        exponent: of both.
        name, linear: of the output layer.
    """
    joined = graph.node("Add", [f, g])  # 17 bits; below 0 it saturates, as by the ReLU
    a = quantise(graph, joined, exponent - JOINT_SHIFT, 0)
    weight, bias = f"{name}.weight", f"{name}.bias"
    if fits_float32(linear):
        return _scaled_product(graph, a, weight, -linear.exponent, bias, 0), FLOAT
    sums = graph.node("Add", [_shifted_product(graph, a, weight, 0, 0), graph.weight(bias)])
    return _scaled_sum(graph, sums, -linear.exponent), DOUBLE


def quantise(graph: Graph, x: str, exponent: int, zero: int = ZERO) -> str:
    """Add x 2^exponent, rounded half to even, plus the zero point, saturated to u8."""
    scale = _power(graph, -exponent, np.float32)
    return graph.node("QuantizeLinear", [x, scale, zero_point(graph, zero)])


def zero_point(graph: Graph, zero: int = ZERO) -> str:
    """Add a zero point of u8."""
    return graph.constant(f"zero.{zero}", np.array(zero, np.uint8))


def _offset(layer: IntegerLayer) -> int:
    """Return the offset of a layer's gates in its accumulators."""
    return HALF_Q15 << layer.shift


def _bias(bias: NDArray[np.integer[Any]], right: int, fits: bool) -> NDArray[np.generic]:
    """Return a bias as it is added: shifted in float32, or as int32."""
    return np.ldexp(bias.astype(np.float32), -right) if fits else bias.astype(np.int32)


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
        zero_point(graph, zero),
        "",
        graph.weight(bias) if bias else "",
    ]
    return graph.scaled_product(inputs)


def _shifted_product(graph: Graph, x: str, weight: str, left: int, zero: int = ZERO) -> str:
    """Add (x - zero) times a weight, shifted left, in int32."""
    inputs = [x, graph.weight(weight), zero_point(graph, zero)]
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


def _gates(graph: Graph, x: str, h: str, name: str, layer: IntegerLayer) -> list[str]:
    """Add the gates i, f, g, o of a layer, int32, rule 3: i, f, o in Q15, g in Q12."""
    products = [
        (x, f"{name}.weight_ih", layer.shift_x),
        (h, f"{name}.weight_hh", layer.shift_h),
    ]
    z = _sums(graph, products, f"{name}.bias", layer.shift, fits_float32(layer))
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
    return quantise(graph, h, 0), graph.node("Cast", [c], to=INT16)
