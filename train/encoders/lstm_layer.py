"""The training form of the LSTM layer.

The same layer as in `stream.encoders.lstm_layer`, up to rounding, and an order of magnitude faster to train: one
product over all frames for the input, the recurrence in preallocated buffers with one fused kernel per step,
and a hand-written backward pass whose weight gradients are again products over all frames. Under autocast
the products run in bfloat16 if this CPU multiplies faster in it; weights, states, cells and sums stay
float32. Outside autocast everything is float32: evaluation computes what streaming does.

On other devices the soft layer is torch's own LSTM (cuDNN's on CUDA), and the hard one this recurrence with the
cell in torch's operations.
"""

from __future__ import annotations

import contextlib
import functools
import warnings
from typing import Any

import numba
import torch
from torch import Tensor, nn

from stream.encoders.lstm_layer import Activation
from stream.integer.network import HIDDEN_EXPONENT
from train.encoders import tensor_cells

# Full fastmath would drop NaN, which the causality check needs to see.
_jit: Any = numba.njit(cache=True, fastmath={"contract", "nsz"}, error_model="numpy")


class LSTM(nn.Module):
    """One layer, batch-first; state: (h, c), each (batch, hidden).

    Args:
        inputs, hidden: sizes.
        activation: "hard" or "soft" (NUMERICS 3.2); gate order i, f, g, o.
        recurrent_dropout: probability that a recurrent weight is dropped for a whole sequence.
    """

    def __init__(
        self, inputs: int, hidden: int, activation: Activation, recurrent_dropout: float = 0.0
    ) -> None:
        super().__init__()
        self.inputs, self.hidden = inputs, hidden
        self.activation: Activation = activation
        self.recurrent_dropout = recurrent_dropout
        rows = 4 * hidden
        self.weight_ih = nn.Parameter(torch.zeros(rows, inputs))
        self.weight_hh = nn.Parameter(torch.zeros(rows, hidden))
        self.bias_ih = nn.Parameter(torch.zeros(rows))
        self.bias_hh = nn.Parameter(torch.zeros(rows))

    def initialise(
        self, generator: torch.Generator, scale: float = 0.5, forget_bias: float = 1.0
    ) -> None:
        """Draw U(-1/sqrt(H), 1/sqrt(H)) times `scale`; then set the forget bias (NUMERICS 3.4)."""
        bound = self.hidden**-0.5
        forget = slice(self.hidden, 2 * self.hidden)
        with torch.no_grad():
            for parameter in self.parameters():
                parameter.uniform_(-bound, bound, generator=generator).mul_(scale)
            self.bias_ih[forget] = forget_bias
            self.bias_hh[forget] = 0.0

    def initial_state(self, batch: int) -> tuple[Tensor, Tensor]:
        """Return (h, c) of zeros, each (batch, hidden)."""
        shape = batch, self.hidden
        return self.weight_hh.new_zeros(shape), self.weight_hh.new_zeros(shape)

    def step(
        self, x: Tensor, state: tuple[Tensor, Tensor], exponent: int = HIDDEN_EXPONENT
    ) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        """Run over the frames of x, (B, T, inputs), which is cast to the weights' dtype.

        Args:
            exponent: of x, where the layer is quantised.
        Returns:
            h of every frame, (B, T, hidden), and the state after the last one.
        """
        x = x.to(self.weight_ih.dtype)  # autocast leaves bfloat16 after a linear layer
        if x.shape[1] == 0:
            return x.new_zeros(len(x), 0, self.hidden), state
        outputs, h, c = self._recur(x.transpose(0, 1), *state, exponent)
        return outputs.transpose(0, 1), (h, c)

    def _recur(
        self, x: Tensor, h: Tensor, c: Tensor, exponent: int
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Run over x, (T, B, inputs), T > 0: h of every step (T, B, hidden), last h, last c."""
        recurrent = nn.functional.dropout(self.weight_hh, self.recurrent_dropout, self.training)
        hard, bias = self.activation == "hard", self.bias_ih + self.bias_hh
        layer = Recurrence.apply if hard or x.device.type == "cpu" else library_layer
        made: tuple[Tensor, Tensor, Tensor] = layer(x, self.weight_ih, recurrent, bias, h, c, hard)
        return made


class Recurrence(torch.autograd.Function):
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
        hard: bool,
    ) -> tuple[Tensor, Tensor, Tensor]:
        product = product_dtype(x)
        with as_written(x.device):
            steps, batch, _ = x.shape
            hidden = weight_hh.shape[1]
            frames = x.reshape(steps * batch, -1).to(product)
            # The input's share of the gates, for all frames at once; in the weights' own dtype the
            # gates' values take its place.
            share = Times(weight_ih, len(frames), product)(frames).view(steps, batch, 4 * hidden)
            a = share if share.dtype == x.dtype else x.new_empty(share.shape)
            hs = x.new_empty(steps + 1, batch, hidden)
            cs = x.new_empty(steps + 1, batch, hidden)
            hs[0], cs[0] = h, c
            recurrent = Times(weight_hh, batch, product)
            squashed = x.new_empty(batch, hidden)  # T(c) of the soft cell
            an, hn, cn, tn, bn = map(_loopable, (a, hs, cs, squashed, bias))
            hard_cell = _hard_cell if x.device.type == "cpu" else tensor_cells.hard_cell
            for t in range(steps):
                z = recurrent.plus(share[t], hs[t])
                if hard:
                    hard_cell(_loopable(z), bn, cn[t], an[t], cn[t + 1], hn[t + 1])
                else:
                    torch.add(z, bias, out=a[t])
                    a[t, :, : 2 * hidden].sigmoid_()
                    a[t, :, 2 * hidden : 3 * hidden].tanh_()
                    a[t, :, 3 * hidden :].sigmoid_()
                    _soft_sum(an[t], cn[t], cn[t + 1])
                    torch.tanh(cs[t + 1], out=squashed)
                    _soft_output(an[t], tn, hn[t + 1])
        ctx.save_for_backward(frames, a, hs, cs, weight_ih, weight_hh)
        ctx.hard = hard
        return hs[1:], hs[-1].clone(), cs[-1].clone()

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        frames, a, hs, cs, weight_ih, weight_hh = ctx.saved_tensors
        d_outputs, d_h, d_c = grads
        product, on_cpu = frames.dtype, frames.device.type == "cpu"
        hard_cell = _hard_cell_backward if on_cpu else tensor_cells.hard_cell_backward
        soft_cell = _soft_cell_backward if on_cpu else tensor_cells.soft_cell_backward
        with as_written(frames.device):
            steps, batch, hidden = hs.shape[0] - 1, hs.shape[1], hs.shape[2]
            d_gates = torch.empty_like(a)
            d_outputs = d_outputs.contiguous()
            dh, dc = d_h.contiguous(), d_c.clone(memory_format=torch.contiguous_format)
            back = Times(weight_hh.t(), batch, product)
            an, cn, dan, don, dcn = map(_loopable, (a, cs, d_gates, d_outputs, dc))
            tn = None if ctx.hard else _loopable(torch.tanh(cs[1:]))
            for t in range(steps - 1, -1, -1):
                if tn is None:
                    hard_cell(an[t], cn[t], cn[t + 1], don[t], _loopable(dh), dcn, dan[t])
                else:
                    soft_cell(an[t], cn[t], tn[t], don[t], _loopable(dh), dcn, dan[t])
                dh = back(d_gates[t]).to(a.dtype)
            flat = d_gates.view(steps * batch, 4 * hidden)
            d_bias = flat.sum(0)
            before = hs[:-1].reshape(-1, hidden)
            flat, before = flat.to(product), before.to(product)
            d_x = None
            if ctx.needs_input_grad[0]:
                d_x = Times(weight_ih.t(), len(flat), product)(flat).to(a.dtype)
                d_x = d_x.view(steps, batch, -1)
            d_weight_ih = (flat.t() @ frames).to(a.dtype)
            d_weight_hh = (flat.t() @ before).to(a.dtype)
        return d_x, d_weight_ih, d_weight_hh, d_bias, dh, dc, None


def library_layer(
    x: Tensor, weight_ih: Tensor, weight_hh: Tensor, bias: Tensor, h: Tensor, c: Tensor, hard: bool
) -> tuple[Tensor, Tensor, Tensor]:
    """Compute a soft `Recurrence` by torch's own LSTM, whose kernels each device has."""
    weights = [weight_ih, weight_hh, bias, torch.zeros_like(bias)]
    with warnings.catch_warnings():  # weights in one piece would be faster; dropout makes them anew
        warnings.filterwarnings("ignore", message="RNN module weights are not part of single")
        outputs, last_h, last_c = torch.lstm(
            x, [h[None], c[None]], weights, True, 1, 0.0, True, False, False
        )
    return outputs.to(x.dtype), last_h[0].to(x.dtype), last_c[0].to(x.dtype)


def plain_layer(
    x: Tensor, weight_ih: Tensor, weight_hh: Tensor, bias: Tensor, h: Tensor, c: Tensor, hard: bool
) -> tuple[Tensor, Tensor, Tensor]:
    """Compute `Recurrence` by torch's own operations and autograd: what it is checked against."""
    hardtanh = nn.functional.hardtanh  # unlike clamp's, its derivative is 0 at the bounds
    outputs = []
    for gates in nn.functional.linear(x, weight_ih, bias):
        i, f, g, o = (gates + h @ weight_hh.t()).chunk(4, dim=1)
        if hard:
            i, f, o = (hardtanh(v * 0.125 + 0.5, 0.0, 1.0) for v in (i, f, o))
            c = f * c + i * hardtanh(g)
            h = o * hardtanh(c)
        else:
            c = torch.sigmoid(f) * c + torch.sigmoid(i) * torch.tanh(g)
            h = torch.sigmoid(o) * torch.tanh(c)
        outputs.append(h)
    return torch.stack(outputs), h, c


_ONEDNN = torch.backends.mkldnn.is_available() and hasattr(torch.ops.mkldnn, "_linear_pointwise")


class Times:
    """x @ weight.t() of a weight that is laid out once, in bfloat16 or in the weight's dtype.

    By oneDNN, as torch.nn.LSTM does, with the operators of torch's own compiler: mm, which is MKL's,
    takes 1.1 (64 rows, hidden 256) to 1.8 times as long (16, 1024) on an AMD CPU.

    Args:
        weight: (m, n), of any strides.
        rows: of the x to come, about.
        dtype: of the product.
    """

    def __init__(self, weight: Tensor, rows: int, dtype: torch.dtype) -> None:
        weight = weight.to(dtype)
        self._dtype = dtype
        self._linear: Any = None
        on_cpu = weight.device.type == "cpu"
        if _ONEDNN and on_cpu and dtype in (torch.float32, torch.bfloat16):
            self._linear = torch.ops.mkldnn._linear_pointwise
            self._weight = torch.ops.mkldnn._reorder_linear_weight(weight.contiguous(), rows)
        else:
            self._weight = weight.t().contiguous()

    def __call__(self, x: Tensor) -> Tensor:
        """Return x (rows, n) -> (rows, m), in the dtype of the product."""
        x = x.to(self._dtype)
        if self._linear is None:
            return torch.mm(x, self._weight)
        product: Tensor = self._linear.default(x, self._weight, None, "none", [], "")
        return product

    def plus(self, share: Tensor, x: Tensor) -> Tensor:
        """Return share + x @ weight.t(), in x's dtype."""
        if x.dtype != self._dtype:
            return share.to(x.dtype).add_(self(x))
        if self._linear is None:
            return torch.addmm(share, x, self._weight)
        total: Tensor = self._linear.binary(x, share, self._weight, None, "add")
        return total


@_jit
def quarters(row: Any) -> Any:
    """Return views of the gates i, f, g, o in a row (4H,): loops over views run in SIMD, loops over
    row[H + n] test every index for its sign and do not."""
    hidden = len(row) // 4
    return (
        row[:hidden],
        row[hidden : 2 * hidden],
        row[2 * hidden : 3 * hidden],
        row[3 * hidden :],
    )


@_jit
def _hard_cell(z: Any, bias: Any, c: Any, a: Any, c_new: Any, h_new: Any) -> None:
    """Turn pre-activations z, less the bias, into the gates' values a (both (B, 4H)), c and h."""
    zero, one, half, eighth = (
        z.dtype.type(0.0),
        z.dtype.type(1.0),
        z.dtype.type(0.5),
        z.dtype.type(0.125),
    )
    bias_i, bias_f, bias_g, bias_o = quarters(bias)
    for b in range(len(c)):
        z_i, z_f, z_g, z_o = quarters(z[b])
        a_i, a_f, a_g, a_o = quarters(a[b])
        c_b, c_new_b, h_new_b = c[b], c_new[b], h_new[b]
        for n in range(len(c_b)):
            i = (z_i[n] + bias_i[n]) * eighth + half
            f = (z_f[n] + bias_f[n]) * eighth + half
            g = z_g[n] + bias_g[n]
            o = (z_o[n] + bias_o[n]) * eighth + half
            # Comparisons, not min and max: NaN must pass.
            i = zero if i < zero else (one if i > one else i)
            f = zero if f < zero else (one if f > one else f)
            g = -one if g < -one else (one if g > one else g)
            o = zero if o < zero else (one if o > one else o)
            s = f * c_b[n] + i * g
            u = -one if s < -one else (one if s > one else s)
            a_i[n] = i
            a_f[n] = f
            a_g[n] = g
            a_o[n] = o
            c_new_b[n] = s
            h_new_b[n] = o * u


@_jit
def _hard_cell_backward(a: Any, c: Any, c_new: Any, d_out: Any, dh: Any, dc: Any, da: Any) -> None:
    zero, one, eighth = a.dtype.type(0.0), a.dtype.type(1.0), a.dtype.type(0.125)
    for b in range(len(c)):
        a_i, a_f, a_g, a_o = quarters(a[b])
        d_i, d_f, d_g, d_o = quarters(da[b])
        c_b, c_new_b, d_out_b, dh_b, dc_b = c[b], c_new[b], d_out[b], dh[b], dc[b]
        for n in range(len(c_b)):
            i, f, g, o = a_i[n], a_f[n], a_g[n], a_o[n]
            s = c_new_b[n]
            u = -one if s < -one else (one if s > one else s)
            d = dh_b[n] + d_out_b[n]
            d_cell = dc_b[n] + (d * o if -one < u < one else zero)
            # The derivative is 0 where the output equals a bound.
            d_i[n] = d_cell * g * eighth if zero < i < one else zero
            d_f[n] = d_cell * c_b[n] * eighth if zero < f < one else zero
            d_g[n] = d_cell * i if -one < g < one else zero
            d_o[n] = d * u * eighth if zero < o < one else zero
            dc_b[n] = d_cell * f


@_jit
def _soft_sum(a: Any, c: Any, c_new: Any) -> None:
    for b in range(len(c)):
        a_i, a_f, a_g, _ = quarters(a[b])
        c_b, c_new_b = c[b], c_new[b]
        for n in range(len(c_b)):
            c_new_b[n] = a_f[n] * c_b[n] + a_i[n] * a_g[n]


@_jit
def _soft_output(a: Any, squashed: Any, h_new: Any) -> None:
    for b in range(len(h_new)):
        a_o, squashed_b, h_new_b = quarters(a[b])[3], squashed[b], h_new[b]
        for n in range(len(h_new_b)):
            h_new_b[n] = a_o[n] * squashed_b[n]


@_jit
def _soft_cell_backward(
    a: Any, c: Any, squashed: Any, d_out: Any, dh: Any, dc: Any, da: Any
) -> None:
    one = a.dtype.type(1.0)
    for b in range(len(c)):
        a_i, a_f, a_g, a_o = quarters(a[b])
        d_i, d_f, d_g, d_o = quarters(da[b])
        c_b, squashed_b, d_out_b, dh_b, dc_b = c[b], squashed[b], d_out[b], dh[b], dc[b]
        for n in range(len(c_b)):
            i, f, g, o = a_i[n], a_f[n], a_g[n], a_o[n]
            u = squashed_b[n]
            d = dh_b[n] + d_out_b[n]
            d_cell = dc_b[n] + d * o * (one - u * u)
            d_i[n] = d_cell * g * i * (one - i)
            d_f[n] = d_cell * c_b[n] * f * (one - f)
            d_g[n] = d_cell * i * (one - g * g)
            d_o[n] = d * u * o * (one - o)
            dc_b[n] = d_cell * f


def product_dtype(x: Tensor) -> torch.dtype:
    """Return the dtype that products of x run in: autocast's, where it is on, and faster here."""
    device = x.device.type
    if x.dtype != torch.float32 or not _autocasts(device) or not torch.is_autocast_enabled(device):
        return x.dtype
    asked = torch.get_autocast_dtype(device)
    if device == "cpu" and not (asked == torch.bfloat16 and _cpu_has_bf16()):
        return x.dtype
    return asked


def as_written(device: torch.device) -> contextlib.AbstractContextManager[object]:
    """Return a context in which autocast changes no dtype on a device."""
    if not _autocasts(device.type):
        return contextlib.nullcontext()
    return torch.autocast(device.type, enabled=False)


@functools.cache
def _autocasts(device: str) -> bool:
    return torch.amp.autocast_mode.is_autocast_available(device)


def _loopable(tensor: Tensor) -> Any:
    """Return what the cells take: on the CPU a NumPy view, whose rows are cheaper to index."""
    return tensor.numpy() if tensor.device.type == "cpu" else tensor


@functools.cache
def _cpu_has_bf16() -> bool:
    """Return whether this CPU multiplies bfloat16 itself; where it does not, float32 is faster.

    Asked, not timed: a run that is resumed has to compute as it did before.
    """
    return any(has for name, has in torch.cpu.get_capabilities().items() if "bf16" in name)
