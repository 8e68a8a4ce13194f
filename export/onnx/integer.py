"""Graphs in integers: ONNX Runtime computes what `stream.integer.fixed` says, bit for bit.

f and g hold integers times a power of two. ONNX shifts unsigned integers only, so every rounding shift
is a product with a power of two and a rounding of a float to the nearest integer, half to even: fewer
operators than shifts of integers take, and two thirds of their time per layer. It is exact because no
float is ever rounded otherwise:

1. Products of u8 activations and int8 weights are int32. They become float32 times a power of two,
   the bias is added: all of them integers below 2^24 in units of the accumulator's last bit, as
   is their sum in any order (rule 9's bound, `fits_float32`). Where the bound is larger, products, left
   shifts and bias stay int32, and only the sum becomes a float64.
2. QuantizeLinear rounds half to even and saturates: it is rules 2, 5 and 6.

Signed activations are u8 with zero point 128, because the products of u8 and int8 are the fast ones.
Weights lie in a second safetensors file, int8, (inputs, outputs) each. Rules by number: docs/integer.md.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from export.onnx.arithmetic import Arithmetic
from export.onnx.graph import BOOL, DOUBLE, FLOAT, MICROSOFT, UINT8, WeightFile
from stream.backends.integer import FLOAT32_EXACT
from stream.integer.fixed import JOINT_SHIFT
from stream.integer.network import IntegerLayer, IntegerLinear, IntegerNetwork
from stream.stage import Integers

ZERO = 128  # of signed activations, as u8
LINEARS = ("joint.encoder", "joint.prediction", "joint.output")

Arrays = dict[str, NDArray[np.generic]]


def linears(network: IntegerNetwork) -> dict[str, IntegerLinear]:
    """Return the linear layers of the joint by name."""
    return {name: getattr(network, _stored(name)) for name in LINEARS}


def part_arrays(network: IntegerNetwork) -> Arrays:
    """Return the arrays that no encoder family and no LSTM layer has: the embedding and the joint."""
    table = network.embedding.astype(np.int16) + ZERO
    arrays: Arrays = {"prediction.embedding": table.astype(np.uint8)}
    for name, linear in linears(network).items():
        arrays |= linear_arrays(name, linear)
    return arrays


def linear_arrays(name: str, linear: IntegerLinear) -> Arrays:
    """Return the arrays of a linear layer of the joint by name."""
    right = linear.exponent if name == "joint.output" else linear.shift_out
    fits = fits_float32(linear.bound)
    return {
        f"{_stored(name)}.weight": linear.weight.T,
        f"{_stored(name)}.bias": stored_bias(linear.bias, right, fits),
    }


def _stored(name: str) -> str:
    """Return the name of a linear layer in the weight file."""
    return name.replace(".", "_")


def fits_float32(bound: Integers, offset: int = 0) -> bool:
    """Return whether float32 holds every sum of a layer, with an offset added (rule 9)."""
    return int(bound.max()) + offset < FLOAT32_EXACT


def stored_bias(bias: NDArray[np.integer[Any]], right: int, fits: bool) -> NDArray[np.generic]:
    """Return a bias as it is added: shifted right in float32, or as int32."""
    return np.ldexp(bias.astype(np.float32), -right) if fits else bias.astype(np.int32)


@dataclass
class IntegerGraph(Arithmetic):
    """A graph that computes integers.

    Attributes:
        layers: LSTM layers by name.
        linears: linear layers of the joint by name.
        input_exponent: of the encoder's input.
        joint_exponent: of f and g.
    """

    layers: Mapping[str, IntegerLayer] = field(default_factory=dict, kw_only=True)
    linears: Mapping[str, IntegerLinear] = field(default_factory=dict, kw_only=True)
    input_exponent: int = field(default=0, kw_only=True)
    joint_exponent: int = field(default=0, kw_only=True)

    def features(self, x: str, layer: str) -> str:
        """Add x as u8, rule 2."""
        return self.quantise(x, self.input_exponent)

    def activations(self, h: str, layer: str) -> str:
        return h

    def masked(self, h: str, present: str, layer: str) -> str:
        condition = self.node("Cast", [present], to=BOOL)
        return self.node("Where", [condition, h, self.zero_point(ZERO)])

    def embed(self, token: str, vocabulary: int) -> str:
        return self.node("Gather", [self.weight("prediction.embedding"), token], axis=0)

    def project(self, h: str, layer: str) -> str:
        """Add e = sat16(rhe(W h + b)), as e 2^-fe in float32, rule 5."""
        linear, name = self.linears[layer], _stored(layer)
        product = h, f"{name}.weight", linear.shift_in
        fits = fits_float32(linear.bound)
        acc = self.sums([product], f"{name}.bias", linear.shift_out, fits)
        if self.standard:
            e = self.clip(self.node("Round", [acc]), -(1 << 15), (1 << 15) - 1, np.float32)
            return self.node("Mul", [e, self.power(-linear.exponent, np.float32)])
        zero = self.constant("zero.int16", np.array(0, np.int16))
        # In ONNX Runtime's own domain: ONNX' operators of this opset have no int16.
        unit, scale = self.power(0, np.float32), self.power(-linear.exponent, np.float32)
        e = self.node("QuantizeLinear", [acc, unit, zero], domain=MICROSOFT)
        return self.node("DequantizeLinear", [e, scale, zero], domain=MICROSOFT)

    def join(self, f: str, g: str) -> tuple[str, int]:
        """Add the logits of f and g, rules 6 and 7."""
        joined = self.node("Add", [f, g])  # 17 bits; below 0 it saturates, as by the ReLU
        a = self.quantise(joined, self.joint_exponent - JOINT_SHIFT, 0)
        linear, name = self.linears["joint.output"], _stored("joint.output")
        weight, bias = f"{name}.weight", f"{name}.bias"
        if fits_float32(linear.bound):
            return self._scaled_product(a, weight, -linear.exponent, bias, 0), FLOAT
        sums = self.node("Add", [self._shifted_product(a, weight, 0, 0), self.weight(bias)])
        return self.scaled_sum(sums, -linear.exponent), DOUBLE

    def quantise(self, x: str, exponent: int, zero: int = ZERO) -> str:
        """Add x 2^exponent, rounded half to even, plus the zero point, saturated to u8."""
        scale = self.power(-exponent, np.float32)
        return self.node("QuantizeLinear", [x, scale, self.zero_point(zero)])

    def power(self, exponent: int, kind: type[np.float32] | type[np.float64]) -> str:
        """Add the constant 2^exponent."""
        value = np.ldexp(kind(1), exponent)
        return self.constant(f"{kind.__name__}.two^{exponent}", np.array(value, kind))

    def clip(self, a: str, low: int, high: int, kind: type[np.number[Any]]) -> str:
        """Add a, clamped to limits, of a's type."""
        limits = [
            self.constant(f"{kind.__name__}.{limit}", np.array(limit, kind))
            for limit in (low, high)
        ]
        return self.node("Clip", [a, *limits])

    def sums(self, products: list[tuple[str, str, int]], bias: str, right: int, fits: bool) -> str:
        """Add the sum of products and a bias, times 2^-right, in float32 and to be rounded (1 above).

        Args:
            products: u8 activations, weight, shift to the left.
            fits: whether float32 holds the sums; where it does not they are rounded here, and what
                is beyond 2^24 even then lies beyond all limits.
        """
        if fits:
            last = len(products) - 1
            parts = [
                self._scaled_product(x, weight, left - right, bias if n == last else "")
                for n, (x, weight, left) in enumerate(products)
            ]
            return functools.reduce(lambda a, b: self.node("Add", [a, b]), parts)
        parts = [self._shifted_product(*product) for product in products]
        sums = functools.reduce(lambda a, b: self.node("Add", [a, b]), [*parts, self.weight(bias)])
        return self.node("Cast", [self.node("Round", [self.scaled_sum(sums, -right)])], to=FLOAT)

    def scaled_sum(self, sums: str, exponent: int) -> str:
        """Add int32 times 2^exponent, in float64."""
        wide = self.node("Cast", [sums], to=DOUBLE)
        return self.node("Mul", [wide, self.power(exponent, np.float64)])

    def _scaled_product(
        self, x: str, weight: str, exponent: int, bias: str = "", zero: int = ZERO
    ) -> str:
        """Add (x - zero) times a weight, times 2^exponent, plus the bias, in float32."""
        return self.scaled_product(
            x,
            self.weight(weight),
            self.power(0, np.float32),
            self.power(exponent, np.float32),
            self.zero_point(zero),
            self.weight(bias) if bias else "",
        )

    def _shifted_product(self, x: str, weight: str, left: int, zero: int = ZERO) -> str:
        """Add (x - zero) times a weight, shifted left, in int32."""
        inputs = [x, self.weight(weight), self.zero_point(zero)]
        product = self.node("MatMulInteger", inputs)
        if left == 0:
            return product
        factor = self.constant(f"int.two^{left}", np.array(1 << left, np.int32))
        return self.node("Mul", [product, factor])


def projection_graph(linear: IntegerLinear) -> bytes:
    """Build a projection to the joint: h (B, K) u8 -> e (B, N), integers times 2^-fe."""
    arrays = linear_arrays("joint.encoder", linear)
    graph = IntegerGraph([WeightFile(arrays, None)], linears={"joint.encoder": linear})
    h = graph.input("h", UINT8, ["B", linear.weight.shape[1]])
    graph.output(graph.project(h, "joint.encoder"), "e", ["B", len(linear.weight)])
    return graph.model("projection.integer")
