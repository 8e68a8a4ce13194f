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
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from stream.encoders.lstm_layer import Activation
from stream.integer.network import HIDDEN_EXPONENT
from train.encoders import compiled_cells, tensor_cells
from train.encoders.packing import Packing


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
        self,
        x: Tensor,
        state: tuple[Tensor, Tensor],
        exponent: int = HIDDEN_EXPONENT,
        lengths: Sequence[int] | None = None,
    ) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        """Run over the frames of x, (B, T, inputs), which is cast to the weights' dtype.

        Args:
            exponent: of x, where the layer is quantised.
            lengths: frames of each row that matter; the layer need not run over others. None: all.
        Returns:
            h of every frame, (B, T, hidden), and the state after the last one.
        """
        x = x.to(self.weight_ih.dtype)  # autocast leaves bfloat16 after a linear layer
        if x.shape[1] == 0:
            return x.new_zeros(len(x), 0, self.hidden), state
        outputs, h, c = self._recur(x.transpose(0, 1), *state, exponent, lengths)
        return outputs.transpose(0, 1), (h, c)

    def _recur(
        self, x: Tensor, h: Tensor, c: Tensor, exponent: int, lengths: Sequence[int] | None
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Run over x, (T, B, inputs), T > 0: h of every step (T, B, hidden), last h, last c."""
        recurrent = nn.functional.dropout(self.weight_hh, self.recurrent_dropout, self.training)
        hard, bias = self.activation == "hard", self.bias_ih + self.bias_hh
        weights = self.weight_ih, recurrent, bias
        if not hard and x.device.type != "cpu":
            return library_layer(x, *weights, h, c)
        made: tuple[Tensor, Tensor, Tensor] = Recurrence.apply(  # type: ignore[no-untyped-call]
            x, *weights, h, c, hard, lengths
        )
        return made


class Recurrence(torch.autograd.Function):
    """x (T, B, I), weights, bias (4H,), h, c (B, H) -> h of every step (T, B, H), last h, last c.

    With `lengths`, frames past a row's end cost nothing: their h are zeros, and last are the row's own. What is kept
    is packed (`train.encoders.packing`): frames, gates' values, and h and c before the first step and after each.
    """

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
        product = product_dtype(x)
        with as_written(x.device):
            steps, batch, _ = x.shape
            hidden = weight_hh.shape[1]
            packing = Packing(steps, batch, lengths)
            frames = packing.packed(x).to(product)
            # The input's share of the gates, for all frames at once; in the weights' own dtype the
            # gates' values take its place.
            share = Times(weight_ih, len(frames), product)(frames)
            a = share if share.dtype == x.dtype else x.new_empty(share.shape)
            hs = x.new_empty(batch + len(frames), hidden)
            cs = x.new_empty(batch + len(frames), hidden)
            hs[:batch], cs[:batch] = packing.sorted(h), packing.sorted(c)
            recurrent = Times(weight_hh, batch, product)
            cells, loopable = _cells(x)
            cell = cells.hard_cell if hard else cells.soft_cell
            an, hn, cn, bn = map(loopable, (a, hs, cs, bias))
            for before, now, after in packing.steps():
                z = recurrent.plus(share[now], hs[before])
                cell(loopable(z), bn, cn[before], an[now], cn[after], hn[after])
        ctx.save_for_backward(frames, a, hs, cs, weight_ih, weight_hh)
        ctx.hard, ctx.packing = hard, packing
        return packing.padded(hs[batch:]), packing.last(hs), packing.last(cs)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        frames, a, hs, cs, weight_ih, weight_hh = ctx.saved_tensors
        packing: Packing = ctx.packing
        product, batch = frames.dtype, packing.batch
        with as_written(frames.device):
            d_outputs = packing.packed(grads[0])
            dh, dc = (packing.sorted(d).contiguous().clone() for d in grads[1:])
            d_gates = torch.empty_like(a)
            back = Times(weight_hh.t(), batch, product)
            cells, loopable = _cells(a)
            an, cn, dan, don, dhn, dcn = map(loopable, (a, cs, d_gates, d_outputs, dh, dc))
            tn = None if ctx.hard else loopable(torch.tanh(cs[batch:]))
            for before, now, after in reversed(packing.steps()):
                rows = slice(now.stop - now.start)
                of_cell = (don[now], dhn[rows], dcn[rows], dan[now])
                if tn is None:
                    cells.hard_cell_backward(an[now], cn[before], cn[after], *of_cell)
                else:
                    cells.soft_cell_backward(an[now], cn[before], tn[now], *of_cell)
                dh[rows] = back(d_gates[now])
            d_bias = d_gates.sum(0)
            flat, states = d_gates.to(product), packing.before(hs).to(product)
            d_x = None
            if ctx.needs_input_grad[0]:
                of_frames = Times(weight_ih.t(), len(flat), product)(flat).to(a.dtype)
                d_x = packing.padded(of_frames)
            d_weight_ih = (flat.t() @ frames).to(a.dtype)
            d_weight_hh = (flat.t() @ states).to(a.dtype)
            d_h, d_c = packing.unsorted(dh), packing.unsorted(dc)
        return d_x, d_weight_ih, d_weight_hh, d_bias, d_h, d_c, None, None


def library_layer(
    x: Tensor, weight_ih: Tensor, weight_hh: Tensor, bias: Tensor, h: Tensor, c: Tensor
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


def _cells(like: Tensor) -> tuple[Any, Callable[[Tensor], Any]]:
    """Return the cells for a device and a dtype, and what turns a tensor into what they take."""
    if like.device.type == "cpu" and like.dtype == torch.float32:
        return compiled_cells, torch.Tensor.numpy  # views, whose rows are cheaper to index
    return tensor_cells, lambda tensor: tensor


@functools.cache
def _cpu_has_bf16() -> bool:
    """Return whether this CPU multiplies bfloat16 itself; where it does not, float32 is faster.

    Asked, not timed: a run that is resumed has to compute as it did before.
    """
    return any(has for name, has in torch.cpu.get_capabilities().items() if "bf16" in name)
