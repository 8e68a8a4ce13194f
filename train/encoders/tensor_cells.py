"""The cell of the LSTM layer in torch's operations, for devices and dtypes that the compiled loops do not reach.

The same arguments and results as the loops of `train.encoders.compiled_cells`, on tensors; gate order i, f, g, o.
"""

from __future__ import annotations

import torch
from torch import Tensor


def hard_cell(z: Tensor, bias: Tensor, c: Tensor, a: Tensor, c_new: Tensor, h_new: Tensor) -> None:
    """Turn pre-activations z, less the bias, into the gates' values a (both (B, 4H)), c and h."""
    torch.add(z, bias, out=a)
    i, f, g, o = a.chunk(4, dim=1)
    for gates in (a[:, : 2 * c.shape[1]], o):
        gates.mul_(0.125).add_(0.5).clamp_(0.0, 1.0)
    g.clamp_(-1.0, 1.0)
    torch.mul(f, c, out=c_new).addcmul_(i, g)
    torch.mul(o, c_new.clamp(-1.0, 1.0), out=h_new)


def soft_cell(z: Tensor, bias: Tensor, c: Tensor, a: Tensor, c_new: Tensor, h_new: Tensor) -> None:
    """As `hard_cell`, with the sigmoid and tanh."""
    torch.add(z, bias, out=a)
    i, f, g, o = a.chunk(4, dim=1)
    a[:, : 2 * c.shape[1]].sigmoid_()
    g.tanh_()
    o.sigmoid_()
    torch.mul(f, c, out=c_new).addcmul_(i, g)
    torch.mul(o, c_new.tanh(), out=h_new)


def hard_cell_backward(
    a: Tensor, c: Tensor, c_new: Tensor, d_out: Tensor, dh: Tensor, dc: Tensor, da: Tensor
) -> None:
    """Write the gradient of the pre-activations to da, and that of c before the step to dc."""
    i, f, g, o = a.chunk(4, dim=1)
    d_i, d_f, d_g, d_o = da.chunk(4, dim=1)
    d = dh + d_out
    d_cell = dc + d * o * (c_new.abs() < 1.0)
    # The derivative is 0 where the output equals a bound.
    torch.mul(d_cell * g, 0.125 * _inside(i), out=d_i)
    torch.mul(d_cell * c, 0.125 * _inside(f), out=d_f)
    torch.mul(d_cell * i, g.abs() < 1.0, out=d_g)
    torch.mul(d * c_new.clamp(-1.0, 1.0), 0.125 * _inside(o), out=d_o)
    torch.mul(d_cell, f, out=dc)


def soft_cell_backward(
    a: Tensor, c: Tensor, squashed: Tensor, d_out: Tensor, dh: Tensor, dc: Tensor, da: Tensor
) -> None:
    """As `hard_cell_backward`; `squashed` is tanh of c after the step."""
    i, f, g, o = a.chunk(4, dim=1)
    d_i, d_f, d_g, d_o = da.chunk(4, dim=1)
    d = dh + d_out
    d_cell = dc + d * o * (1.0 - squashed * squashed)
    torch.mul(d_cell * g, i * (1.0 - i), out=d_i)
    torch.mul(d_cell * c, f * (1.0 - f), out=d_f)
    torch.mul(d_cell * i, 1.0 - g * g, out=d_g)
    torch.mul(d * squashed, o * (1.0 - o), out=d_o)
    torch.mul(d_cell, f, out=dc)


def _inside(gate: Tensor) -> Tensor:
    return (gate > 0.0) & (gate < 1.0)
