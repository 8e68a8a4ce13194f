"""The training form of the integer LSTM layer: its forward pass is the integers, value by value.

Rules by number: docs/integer.md. Built like `train.encoders.lstm_layer`: one product over all frames for the
input, preallocated buffers, one fused kernel per step, a hand-written backward pass whose products over all
frames run in bfloat16 under autocast. The forward's products are of int8 by `torch._int_mm` where this
CPU has instructions for them, else of floats that hold integers, float32 up to 2^24 and float64 beyond:
the same integers either way. Weights are quantised once per sequence. Inputs and outputs
are floats, integers times a power of two.

Gradients go straight through roundings, and stop where a value was clipped: at a gate's bounds, at the
cell's saturation, beyond 1 at the cell's output. h passes.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from stream.integer.network import CELL_EXPONENT, HIDDEN_EXPONENT, SIGNED
from train.encoders.integer_lstm_cell import cell, cell_backward
from train.encoders.lstm_layer import LSTM, Times, product_dtype
from train.encoders.quantisers import (
    FLOAT32_EXACT,
    check_bound,
    quantise_bias,
    quantise_signed,
    quantise_weight,
    row_sums,
)
from train.encoders.weight_cache import WeightCache

HIDDEN_SCALE, CELL_SCALE = 2.0**HIDDEN_EXPONENT, 2.0**CELL_EXPONENT


class _Shifts(NamedTuple):
    """The layer's exponents (rule 3).

    Attributes:
        input: exponent of x.
        x, h: left, of the two products; out: right, of the accumulator.
        bound: that no sum of products exceeds.
    """

    input: int
    x: int
    h: int
    out: int
    bound: int


class QuantisedLSTM(LSTM):
    """One hard layer in integers, batch-first; state: (h, c), each (batch, hidden).

    Args:
        name: of the layer, for messages.
        inputs, hidden: sizes.
        bits: of a weight.
    """

    def __init__(self, name: str, inputs: int, hidden: int, bits: int) -> None:
        super().__init__(inputs, hidden, "hard")
        self._name, self._bits = name, bits
        self._cache = WeightCache()

    def _recur(
        self, x: Tensor, h: Tensor, c: Tensor, exponent: int, lengths: Sequence[int] | None
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Run over x, which is rounded to int8 of that exponent; see `LSTM`.

        Raises:
            ModelError: the accumulator may overflow (rule 9).
        """
        made = self._cache(tuple(self.parameters()), exponent, lambda: self._quantise(exponent))
        weight_ih, weight_hh, bias, shifts = made
        found: tuple[Tensor, Tensor, Tensor] = _QuantisedLayer.apply(  # type: ignore[no-untyped-call]
            quantise_signed(x, exponent), weight_ih, weight_hh, bias, h, c, shifts
        )
        return found

    def _quantise(self, exponent: int) -> tuple[Tensor, Tensor, Tensor, _Shifts]:
        """Return weights and bias as floats of integers times powers of two, and the shifts."""
        weight_ih, f_ih = quantise_weight(f"{self._name}.weight_ih", self.weight_ih, self._bits)
        weight_hh, f_hh = quantise_weight(f"{self._name}.weight_hh", self.weight_hh, self._bits)
        f = max(f_ih + exponent, f_hh + HIDDEN_EXPONENT, CELL_EXPONENT)
        bias = quantise_bias(self.bias_ih.double() + self.bias_hh.double(), f)
        with torch.no_grad():
            of_x, of_h = (
                row_sums(weight) * (SIGNED * 2.0 ** (f - e))
                for weight, e in ((weight_ih, exponent), (weight_hh, HIDDEN_EXPONENT))
            )
            bound = check_bound(self._name, of_x + of_h + bias.abs() * 2.0**f, f - CELL_EXPONENT)
        left_x, left_h = f - f_ih - exponent, f - f_hh - HIDDEN_EXPONENT
        return (
            weight_ih,
            weight_hh,
            bias,
            _Shifts(exponent, left_x, left_h, f - CELL_EXPONENT, bound),
        )


class _QuantisedLayer(torch.autograd.Function):
    """x (T, B, I), weights, bias (4H,), h, c (B, H) -> h of every step (T, B, H), last h, last c."""

    @staticmethod
    def forward(
        ctx: Any,
        x: Tensor,
        weight_ih: Tensor,
        weight_hh: Tensor,
        bias: Tensor,
        h: Tensor,
        c: Tensor,
        shifts: _Shifts,
    ) -> tuple[Tensor, Tensor, Tensor]:
        steps, batch, _ = x.shape
        hidden = weight_hh.shape[1]
        f = shifts.out + CELL_EXPONENT
        with torch.autocast("cpu", enabled=False):
            frames = _integers(x.reshape(steps * batch, -1), shifts.input, torch.int8)
            of_x = IntegerProduct(
                _integers(weight_ih, f - shifts.x - shifts.input, torch.int8),
                len(frames),
                shifts.bound,
            )
            of_h = IntegerProduct(
                _integers(weight_hh, f - shifts.h - HIDDEN_EXPONENT, torch.int8),
                batch,
                shifts.bound,
            )
            share = of_x(frames).view(steps, batch, 4 * hidden).numpy()
            rounded = _integers(bias, f, torch.int32).numpy()
            z = torch.empty(steps, batch, 4 * hidden, dtype=torch.int16)
            hs = torch.empty(steps + 1, batch, hidden, dtype=torch.int8)
            cs = torch.empty(steps + 1, batch, hidden, dtype=torch.int16)
            hs[0] = _integers(h, HIDDEN_EXPONENT, torch.int8)
            cs[0] = _integers(c, CELL_EXPONENT, torch.int16)
            zn, hn, cn = z.numpy(), hs.numpy(), cs.numpy()
            left_x, left_h, right = (np.int32(s) for s in (shifts.x, shifts.h, shifts.out))
            for t in range(steps):
                product = of_h(hs[t]).numpy()
                cell(
                    share[t], product, rounded, left_x, left_h, right,
                    cn[t], zn[t], cn[t + 1], hn[t + 1],
                )  # fmt: skip
            outputs = hs[1:].to(x.dtype).div_(HIDDEN_SCALE)
            last_c = cs[-1].to(x.dtype).div_(CELL_SCALE)
        ctx.save_for_backward(frames, z, hs, cs, weight_ih, weight_hh)
        ctx.exponent = shifts.input
        ctx.product = product_dtype(x)
        return outputs, outputs[-1].clone(), last_c

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        frames, z, hs, cs, weight_ih, weight_hh = ctx.saved_tensors
        d_outputs, d_h, d_c = grads
        dtype = weight_hh.dtype
        product = ctx.product
        with torch.autocast("cpu", enabled=False):
            steps, batch, hidden = hs.shape[0] - 1, hs.shape[1], hs.shape[2]
            d_gates = torch.empty(steps, batch, 4 * hidden, dtype=product)
            own = torch.empty(batch, 4 * hidden, dtype=dtype)  # of one step: stays in the cache
            d_bias = torch.zeros(4 * hidden, dtype=dtype)
            d_outputs = d_outputs.contiguous()
            dh, dc = d_h.contiguous(), d_c.clone(memory_format=torch.contiguous_format)
            back = Times(weight_hh.t(), batch, product)
            zn, cn, on, don = z.numpy(), cs.numpy(), own.numpy(), d_outputs.numpy()
            dcn = dc.numpy()
            for t in range(steps - 1, -1, -1):
                cell_backward(zn[t], cn[t], cn[t + 1], don[t], dh.numpy(), dcn, on)
                d_gates[t] = own
                d_bias += own.sum(0)
                dh = back(d_gates[t]).to(dtype)
            flat = d_gates.view(steps * batch, 4 * hidden)
            d_x = None
            if ctx.needs_input_grad[0]:
                d_x = Times(weight_ih.t(), len(flat), product)(flat).to(dtype)
                d_x = d_x.view(steps, batch, -1)
            # int8 integers are bfloat16 numbers: only the gradients are rounded.
            before = hs[:-1].reshape(-1, hidden).to(product)
            d_weight_ih = (flat.t() @ frames.to(product)).to(dtype).div_(2.0**ctx.exponent)
            d_weight_hh = (flat.t() @ before).to(dtype).div_(HIDDEN_SCALE)
        return d_x, d_weight_ih, d_weight_hh, d_bias.double(), dh, dc, None


def _integers(value: Tensor, exponent: int, dtype: torch.dtype) -> Tensor:
    """Return the integers of floats that are integers times 2^-exponent."""
    return (value * 2.0**exponent).to(dtype)


class IntegerProduct:
    """x @ weight.t() of integers, exactly, of a weight that is laid out once.

    Args:
        weight: (m, n) int8.
        rows: of the x to come, about.
        bound: magnitude that no partial sum exceeds.
    """

    def __init__(self, weight: Tensor, rows: int, bound: int) -> None:
        if int8_pays():
            self._weight = weight.t().contiguous()
            self._floats = None
        else:
            exact = torch.float32 if bound < FLOAT32_EXACT else torch.float64
            self._floats = Times(weight.to(exact), rows, exact)

    def __call__(self, x: Tensor) -> Tensor:
        """Return x (rows, n) int8 -> (rows, m) int32."""
        if self._floats is not None:
            return self._floats(x).to(torch.int32)
        product: Tensor = torch._int_mm(x, self._weight)
        return product


@functools.cache
def int8_pays() -> bool:
    """Return whether `torch._int_mm` exists, is exact, and has instructions of this CPU's to run on.

    A private name, so it is tried: on sums of the largest products that there are, which kernels
    without such instructions may saturate, in the numbers of rows that kernels differ by.
    """
    product = getattr(torch, "_int_mm", None)
    fast = any(
        has
        for name, has in torch.cpu.get_capabilities().items()
        if "vnni" in name or "amx_int8" in name
    )
    if product is None or not fast:
        return False
    for rows in (1, 2, 8, 33):
        for n in (3, 64, 257):
            for a, b in ((-128, 127), (-128, -127), (127, 127)):
                x = torch.full((rows, n), a, dtype=torch.int8)
                weight = torch.full((n, 36), b, dtype=torch.int8)
                if not bool((product(x, weight) == a * b * n).all()):
                    return False
    return True
