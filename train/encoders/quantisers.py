"""Brevitas' quantisers for the integer arithmetic, and the linear layers made of them.

Rules by number: docs/integer.md. Every function takes and returns floats: integers times a power of two, which
float32 holds exactly, so ordinary torch operators can be used around them. Gradients go straight
through a rounding, and stop where a value was clipped.

Brevitas' `IntQuant` rounds and clips, here in one fused pass; the scale is ours. Brevitas takes the logarithm
of the largest weight in float32, which is rounded down where that weight lies just above a power of two;
rule 1 takes it exactly.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import torch
from brevitas.core.function_wrapper import Identity
from brevitas.core.quant import IntQuant
from brevitas.function.ops_ste import round_ste
from torch import Tensor, nn

from stream.integer.network import (
    HIDDEN_EXPONENT,
    JOINT_HEADROOM,
    SIGNED,
    UNSIGNED,
    WEIGHT_EXPONENTS,
)
from stream.model.specification import ModelError
from train.encoders.weight_cache import WeightCache

FLOAT32_EXACT = 1 << 24  # below it every integer is a float32
E_BITS = 16  # of e and g, rule 5


class _Rounded(torch.autograd.Function):
    """x rounded to a multiple of a scale, and clipped; the gradient stops where it was clipped."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, scale: float, least: float, most: float) -> Tensor:
        ctx.save_for_backward(x)
        ctx.constants = scale, least, most
        return (x / scale).round_().clamp_(least, most).mul_(scale)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        (x,) = ctx.saved_tensors
        scale, least, most = ctx.constants
        from_middle = (x / scale).round_().sub_((least + most) / 2).abs_()
        return from_middle.le_((most - least) / 2).mul_(grads[0]), None, None, None


class _IntQuant(IntQuant):  # type: ignore[misc]
    """Brevitas' quantiser of zero point 0, fused: a third of its passes over memory, and of its time."""

    def __init__(self, *, signed: bool, narrow: bool) -> None:
        super().__init__(narrow, signed, input_view_impl=Identity())

    def forward(self, scale: Tensor, zero_point: Tensor, bit_width: Tensor, x: Tensor) -> Tensor:
        least, most = self.min_int(bit_width), self.max_int(bit_width)
        rounded: Tensor = _Rounded.apply(  # type: ignore[no-untyped-call]
            x, float(scale), float(least), float(most)
        )
        return rounded


_NARROW = _IntQuant(signed=True, narrow=True)  # weights: -127 to 127
_SIGNED = _IntQuant(signed=True, narrow=False)
_UNSIGNED = _IntQuant(signed=False, narrow=False)


def _quantised(quantiser: _IntQuant, value: Tensor, exponent: int, bits: int) -> Tensor:
    scale, zero_point, width = (torch.tensor(c) for c in (2.0**-exponent, 0.0, float(bits)))
    rounded: Tensor = quantiser(scale, zero_point, width, value)
    return rounded


def quantise_weight(name: str, weight: Tensor, bits: int) -> tuple[Tensor, int]:
    """Return a weight as its integers times 2^-f, and f (rule 1).

    Args:
        name: for messages.
        weight: any shape.
        bits: of an integer, sign included.
    Raises:
        ModelError: the exponent is out of range, as it is of a weight that is not finite.
    """
    least, most = torch.aminmax(weight.detach())
    largest = max(-float(least), float(most))
    mantissa, ceiling = math.frexp(largest)
    f = bits - 1 - (ceiling - (mantissa == 0.5) if mantissa else 0)
    if not math.isfinite(largest) or f not in WEIGHT_EXPONENTS:
        raise ModelError(
            f"{name}: its largest weight is {largest:.4g}, so its exponent is {f}, wants "
            f"{WEIGHT_EXPONENTS.start} to {WEIGHT_EXPONENTS.stop - 1}"
        )
    return _quantised(_NARROW, weight, f, bits), f


def quantise_bias(bias: Tensor, exponent: int) -> Tensor:
    """Return a bias rounded to the accumulator's exponent, in float64."""
    scale = 2.0**exponent
    rounded: Tensor = round_ste(bias.double() * scale) / scale
    return rounded


def quantise_signed(value: Tensor, exponent: int, bits: int = 8) -> Tensor:
    """Return a value rounded and saturated to signed integers of so many bits (rules 2 and 5)."""
    return _quantised(_SIGNED, value, exponent, bits)


def hidden(f: Tensor, g: Tensor, exponent: int) -> Tensor:
    """Return the joint's hidden vector of e and g (rule 6), which broadcast."""
    return _quantised(_UNSIGNED, torch.relu(f + g), exponent, 8)


def row_sums(weight: Tensor) -> Tensor:
    """Return the sums of the magnitudes of a quantised weight's rows, float64.

    Float32 sums integers below 128 exactly, as long as there are fewer than 2^17 of them.
    """
    return weight.abs().sum(1).double()


def check_bound(name: str, bound: Tensor, shift: int) -> int:
    """Return the largest of an accumulator's bounds.

    Args:
        bound: (N,) int64 or float64, of each row.
        shift: right, of the accumulator.
    Raises:
        ModelError: int32 does not hold it (rule 9).
    """
    largest, row = (float(bound.max()), int(bound.argmax()))
    if not largest + 2.0 ** (shift + 14) + 2.0**shift < 2.0**31:
        raise ModelError(
            f"{name}: row {row} of the accumulator may reach {largest:.0f}, shifted right by {shift}, "
            "and int32 ends at 2^31: its weights or its bias are too large. Lower optimiser.rate, "
            "or start from another checkpoint"
        )
    return int(largest)


class _Weights(NamedTuple):
    """A linear layer's integers, each times its power of two.

    Attributes:
        weight: (N, K); bias: (N,); both of the dtype whose products are exact.
        exponent: of the accumulator.
    """

    weight: Tensor
    bias: Tensor
    exponent: int


class _Linear(nn.Linear):
    """What the two kinds of linear layers share."""

    def __init__(self, name: str, inputs: int, outputs: int, bits: int) -> None:
        super().__init__(inputs, outputs)
        self._name, self._bits = name, bits
        self._cache = WeightCache()

    def _weights(self, exponent: int, largest: int, result: int | None) -> _Weights:
        """Quantise; arguments as `stream.integer.network` names them."""

        def make() -> _Weights:
            weight, f_weight = quantise_weight(self._name, self.weight, self._bits)
            product = f_weight + exponent
            f = product if result is None else max(product, result)
            bias = quantise_bias(self.bias, f)
            with torch.no_grad():
                bound = row_sums(weight) * (largest * 2.0**-exponent)
                bound = (bound + bias.abs()) * 2.0**f
            most = check_bound(self._name, bound, 0 if result is None else f - result)
            dtype = torch.float32 if most < FLOAT32_EXACT else torch.float64
            return _Weights(weight.to(dtype), bias.to(dtype), f)

        weights: _Weights = self._cache((self.weight, self.bias), (exponent, result), make)
        return weights


class Linear(_Linear):
    """A projection to the joint: h (..., K), exponent 7, to e (..., N), int16 (rule 5).

    Args:
        name: of the layer, for messages.
        inputs, outputs: sizes.
        bits: of a weight.
        joint: exponent of the joint's hidden vector.
    """

    def __init__(self, name: str, inputs: int, outputs: int, bits: int, joint: int) -> None:
        super().__init__(name, inputs, outputs, bits)
        self._result = joint + JOINT_HEADROOM

    def forward(self, x: Tensor) -> Tensor:
        """Return e times its power of two, float32."""
        weight, bias, _ = self._weights(HIDDEN_EXPONENT, SIGNED, self._result)
        with torch.autocast("cpu", enabled=False):
            acc = nn.functional.linear(x.to(weight.dtype), weight, bias)
            return quantise_signed(acc, self._result, E_BITS).float()


class Logits(_Linear):
    """The joint's output layer: the hidden vector (..., K), u8, to logits (..., N) (rule 7).

    Args:
        name, inputs, outputs, bits, joint: as of `Linear`.
    """

    def __init__(self, name: str, inputs: int, outputs: int, bits: int, joint: int) -> None:
        super().__init__(name, inputs, outputs, bits)
        self._joint = joint

    def quantised(self) -> tuple[Tensor, Tensor]:
        """Return weight and bias, float64 where float32 does not hold every logit exactly."""
        weights = self._weights(self._joint, UNSIGNED, None)
        return weights.weight, weights.bias

    def forward(self, x: Tensor) -> Tensor:
        """Return the logits, in the dtype of `quantised`."""
        weight, bias = self.quantised()
        with torch.autocast("cpu", enabled=False):
            return nn.functional.linear(x.to(weight.dtype), weight, bias)
