"""The training form of the LSTM layer in block floating point: its forward pass rounds where Myrtle's card does.

NUMERICS 3.3, with the functions of `stream.encoders.bfp16`: the same layer as in `stream.encoders.lstm_layer`,
except for the order of float32 sums. Rounding is ignored in the backward pass, which is otherwise that of
`train.encoders.lstm_layer` on the rounded values; a gate rounded to its bound passes no gradient. Sums stay
float32 under autocast. Block-rounded values are exact in bfloat16, so only gradients lose precision.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, cast

import torch
from torch import Tensor

from stream.encoders.bfp16 import bf16, bfp
from stream.encoders.lstm_layer import FUNCTIONS, Activation
from train.encoders.lstm_layer import LSTM, Recurrence, Times, as_written, product_dtype
from train.encoders.packing import Packing
from train.encoders.weight_cache import WeightCache


class BlockFloatingLSTM(LSTM):
    """One layer in block floating point, batch-first; state: (h, c), each (batch, hidden).

    Args:
        inputs, hidden: sizes.
        activation: "hard" or "soft".
    """

    def __init__(self, inputs: int, hidden: int, activation: Activation) -> None:
        super().__init__(inputs, hidden, activation)
        self._cache = WeightCache()

    def _recur(
        self, x: Tensor, h: Tensor, c: Tensor, exponent: int, lengths: Sequence[int] | None
    ) -> tuple[Tensor, Tensor, Tensor]:
        weights = self._cache(tuple(self.parameters()), None, self._rounded)
        made: tuple[Tensor, Tensor, Tensor] = _BlockFloatingRecurrence.apply(  # type: ignore[no-untyped-call]
            _through(bfp, x), *weights, h, c, self.activation == "hard"
        )
        return made

    def _rounded(self) -> tuple[Tensor, Tensor, Tensor]:
        return (
            _through(bfp, self.weight_ih),
            _through(bfp, self.weight_hh),
            _through(bf16, self.bias_ih) + _through(bf16, self.bias_hh),
        )


class _StraightThrough(torch.autograd.Function):
    """x rounded, with the gradient of x."""

    @staticmethod
    def forward(ctx: Any, rounding: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
        return rounding(x)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[None, Tensor]:
        return None, grads[0]


def _through(rounding: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
    return cast(Tensor, _StraightThrough.apply(rounding, x))  # type: ignore[no-untyped-call]


class _BlockFloatingRecurrence(Recurrence):
    """As `Recurrence`, whose backward pass it has, of x and weights that are rounded."""

    @staticmethod
    def forward(
        ctx: Any,
        x: Tensor,
        weight_ih: Tensor,
        weight_hh: Tensor,
        bias: Tensor,
        h: Tensor,
        c: Tensor,
        hard: bool,
        lengths: Sequence[int] | None = None,
    ) -> tuple[Tensor, Tensor, Tensor]:
        sigmoid, tanh = FUNCTIONS["hard" if hard else "soft"]
        with as_written(x.device):
            steps, batch, _ = x.shape
            hidden = weight_hh.shape[1]
            frames = x.reshape(steps * batch, -1)
            # The gates' values take the place of the input's share of them.
            a = Times(weight_ih, len(frames), x.dtype)(frames).view(steps, batch, 4 * hidden)
            a += bias
            outputs = x.new_empty(steps, batch, hidden)
            operands = x.new_empty(steps + 1, batch, hidden)  # h in blocks
            cs = x.new_empty(steps + 1, batch, hidden)
            operands[0], cs[0] = bfp(h), c
            recurrent = Times(weight_hh, batch, x.dtype)
            for t in range(steps):
                z = bf16(recurrent.plus(a[t], operands[t]))
                i, f, g, o = a[t].chunk(4, 1)
                a[t, :, : 2 * hidden] = bf16(sigmoid(z[:, : 2 * hidden]))
                g[:] = bf16(tanh(z[:, 2 * hidden : 3 * hidden]))
                o[:] = bf16(sigmoid(z[:, 3 * hidden :]))
                cs[t + 1] = bf16(f * cs[t] + i * g)
                outputs[t] = bf16(o * tanh(cs[t + 1]))
                operands[t + 1] = bfp(outputs[t])
        frames = frames.to(product_dtype(x))
        kept = (each.flatten(0, 1) for each in (a, operands, cs))
        ctx.save_for_backward(frames, *kept, weight_ih, weight_hh)
        ctx.hard, ctx.packing = hard, Packing(steps, batch)
        return outputs, outputs[-1].clone(), cs[-1].clone()
