"""The transducer loss, exact, in a fraction of the time and memory of plain autograd.

NUMERICS 5.1. Two forms: on given logits (B, T, U+1, C), and fused with the joint's linear layer, where
the logits are computed in small chunks of lattice nodes, in forward and again in backward, and never
exist as a whole. Both reduce a node of the lattice to the log-weights of its two arcs, let
`train.loss.lattice` find the posterior of each arc, and turn it into the gradient of its logits:
posterior x softmax - one-hot.

A quantised joint rounds its hidden vector to u8 (rule 6 of docs/integer.md); the gradient goes straight
through where it was not clipped.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from stream.integer.network import UNSIGNED
from train.encoders.lstm_layer import as_written, product_dtype
from train.loss.lattice import Lattice, Penalties

PIECE_VALUES = 1 << 19  # logits worked on at once: 2 MB in float32, which caches hold
CACHE_MEGABYTES = 4.0  # of logits and hidden units alive at once on a CPU, whose cache holds them
DEVICE_MEGABYTES = 256.0  # the same on devices whose speed wants large products


def transducer_loss(
    logits: Tensor,
    targets: Tensor,
    logit_lengths: Tensor,
    target_lengths: Tensor,
    blank: int,
    penalties: Penalties | None = None,
    *,
    overwrite: bool = False,
) -> Tensor:
    """Compute the negative log-likelihood of each row.

    Args:
        logits: (B, T, U + 1, C) float32 or float64, not normalised.
        targets: (B, U) int64, padded with anything.
        logit_lengths: (B,) steps of each row, 1 to T; target_lengths: (B,) labels, 0 to U.
        blank: class that moves time on.
        overwrite: the backward pass writes the gradient where the logits were, which saves their
            size in memory and half of its time. Read nothing from the logits after it; where
            autograd itself still needs them, it raises.
    Returns:
        (B,) losses in nats, dtype of the logits.
    Raises:
        ValueError: a length or a target of a row does not fit.
    """
    batch, steps, labels, classes = logits.shape
    lattice = Lattice.of(
        targets, logit_lengths, target_lengths, (batch, steps, labels - 1, classes), blank,
        penalties or Penalties(), logits.device,
    )  # fmt: skip
    losses: Tensor = _LogitLoss.apply(  # type: ignore[no-untyped-call]
        logits, lattice, overwrite
    )
    return losses


def joint_transducer_loss(
    f: Tensor,
    g: Tensor,
    weight: Tensor,
    bias: Tensor,
    targets: Tensor,
    logit_lengths: Tensor,
    target_lengths: Tensor,
    *,
    penalties: Penalties | None = None,
    dropout: float = 0.0,
    exponent: int | None = None,
    megabytes: float | None = None,
) -> Tensor:
    """Compute the loss of logits = W relu(f[t] + g[u]) + b; blank is the last class.

    Args:
        f: (B, T, J) encoder, g: (B, U + 1, J) prediction network, both projected.
        weight: (C, J), bias: (C,); of float64, where float32 does not hold the sums of a quantised
            model exactly, which are then rounded to float32.
        targets, logit_lengths, target_lengths, penalties: as in `transducer_loss`.
        dropout: probability that a unit after the ReLU is dropped, drawn with torch's global seed.
        exponent: of the hidden vector, which is rounded to u8; None: it stays a float.
        megabytes: of logits and hidden units that exist at once, as float32; None: what suits the device.
    Returns:
        (B,) losses in nats.
    """
    shape = (len(f), f.shape[1], g.shape[1] - 1, len(weight))
    lattice = Lattice.of(
        targets, logit_lengths, target_lengths, shape, len(weight) - 1,
        penalties or Penalties(), f.device,
    )  # fmt: skip
    seed = int(torch.randint(1 << 62, ())) if dropout > 0.0 else 0
    if megabytes is None:
        megabytes = CACHE_MEGABYTES if f.device.type == "cpu" else DEVICE_MEGABYTES
    chunks = _Chunks(lattice, dropout, seed, exponent, int(megabytes * (1 << 18)))
    losses: Tensor = _JointLoss.apply(  # type: ignore[no-untyped-call]
        f, g, weight, bias, chunks
    )
    return losses


def _gradient(
    logits: Tensor, of_blank: Tensor, of_label: Tensor, label: Tensor, blank: int
) -> Tensor:
    """Turn logits (nodes, C) into their gradient, in place: posterior x softmax - one-hot."""
    nodes = torch.arange(len(logits), device=logits.device)
    gradient = torch.softmax(logits, dim=-1).mul_((of_blank + of_label)[:, None])
    gradient[:, blank] -= of_blank
    gradient[nodes, label] -= of_label  # one class a node: no index occurs twice
    return gradient


class _LogitLoss(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, logits: Tensor, lattice: Lattice, overwrite: bool) -> Tensor:
        blank, label = lattice.empty(), lattice.empty()
        for nodes, where in _pieces(logits, lattice):
            # Torch's log-softmax reads twice and writes; its logsumexp takes twice as long.
            own = torch.log_softmax(logits.detach()[where], -1)
            ids = lattice.label[nodes, None]
            blank[nodes] = own[..., lattice.blank].flatten()
            label[nodes] = own.view(-1, own.shape[-1]).gather(1, ids)[:, 0]
        losses, of_blank, of_label = lattice.solve(blank, label)
        ctx.save_for_backward(logits, of_blank, of_label)
        ctx.lattice, ctx.overwrite = lattice, overwrite
        return losses.to(logits.dtype)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        logits, of_blank, of_label = ctx.saved_tensors
        lattice: Lattice = ctx.lattice
        scale = grads[0].to(of_blank.dtype)[lattice.row]
        of_blank, of_label = ((of * scale).to(logits.dtype) for of in (of_blank, of_label))
        gradient = logits.detach() if ctx.overwrite else torch.empty_like(logits)
        for row, (t, u) in enumerate(lattice.sizes):
            gradient[row, t:] = 0.0
            gradient[row, :t, u + 1 :] = 0.0
        for nodes, where in _pieces(logits, lattice):
            own = logits[where]
            flat = own.reshape(-1, own.shape[-1])
            piece = _gradient(
                flat, of_blank[nodes], of_label[nodes], lattice.label[nodes], lattice.blank
            )
            gradient[where] = piece.view(own.shape)
        return gradient, None, None


def _pieces(logits: Tensor, lattice: Lattice) -> Any:
    """Yield (nodes, index into the logits) of some steps of a row at a time, which fit into a cache."""
    first = 0
    for row, (t, u) in enumerate(lattice.sizes):
        count = max(1, PIECE_VALUES // ((u + 1) * logits.shape[-1]))
        for begin in range(0, t, count):
            end = min(begin + count, t)
            nodes = slice(first + begin * (u + 1), first + end * (u + 1))
            yield nodes, (row, slice(begin, end), slice(u + 1))
        first += t * (u + 1)


@dataclass(frozen=True)
class _Chunks:
    """How the joint is computed over a lattice's nodes, a chunk at a time.

    Attributes:
        lattice: on the device.
        dropout: of hidden units; seed: of what is dropped, the same in forward and backward.
        exponent: of the hidden vector where it is rounded.
        values: logits and hidden units that exist at once.
    """

    lattice: Lattice
    dropout: float
    seed: int
    exponent: int | None
    values: int

    def __call__(self, f: Tensor, g: Tensor, weight: Tensor, bias: Tensor) -> Any:
        """Yield (nodes, (rows of f, rows of g), logits, hidden, real) of each chunk.

        `real` is the hidden vector before it was rounded; the same one, where it is not.
        """
        lattice, exponent = self.lattice, self.exponent
        size = max(64, self.values // (weight.shape[0] + 2 * weight.shape[1]))
        flat_f, flat_g = f.reshape(-1, f.shape[-1]), g.reshape(-1, g.shape[-1])
        at_f = lattice.row * f.shape[1] + lattice.step
        at_g = lattice.row * g.shape[1] + lattice.position
        kept = _kept(f.device, self.dropout, self.seed)
        transposed = weight.t()
        for begin in range(0, lattice.nodes, size):
            nodes = slice(begin, min(begin + size, lattice.nodes))
            real = flat_f.index_select(0, at_f[nodes]).add_(flat_g.index_select(0, at_g[nodes]))
            real.relu_()
            if self.dropout:
                real.mul_(kept(real.shape))
            hidden = real
            if exponent is not None:
                hidden = real.mul(2.0**exponent).round_().clamp_(max=UNSIGNED).mul_(2.0**-exponent)
            if self.dropout:
                hidden.div_(1.0 - self.dropout)
            with as_written(f.device):
                logits = torch.addmm(bias, hidden.to(weight.dtype), transposed).to(f.dtype)
            yield nodes, (at_f[nodes], at_g[nodes]), logits, hidden, real


class _JointLoss(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, f: Tensor, g: Tensor, weight: Tensor, bias: Tensor, chunks: _Chunks
    ) -> Tensor:
        lattice = chunks.lattice
        blank, label = lattice.empty(), lattice.empty()
        ctx.chunks, ctx.product = chunks, product_dtype(f)
        for nodes, _, logits, *_ in chunks(f, g, weight, bias):
            normaliser = logits.logsumexp(-1)
            blank[nodes] = logits[:, lattice.blank] - normaliser
            label[nodes] = logits.gather(1, lattice.label[nodes, None])[:, 0] - normaliser
        losses, of_blank, of_label = lattice.solve(blank, label)
        ctx.save_for_backward(f, g, weight, bias, of_blank, of_label)
        return losses.to(f.dtype)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        f, g, weight, bias, of_blank, of_label = ctx.saved_tensors
        chunks: _Chunks = ctx.chunks
        lattice = chunks.lattice
        scale = grads[0].to(of_blank.dtype)[lattice.row]
        of_blank, of_label = ((of * scale).to(f.dtype) for of in (of_blank, of_label))
        d_f, d_g = (torch.zeros_like(x).view(-1, x.shape[-1]) for x in (f, g))
        d_weight, d_bias = torch.zeros_like(weight), torch.zeros_like(bias)
        limit = np.inf if chunks.exponent is None else (UNSIGNED + 0.5) * 2.0**-chunks.exponent
        weight_f = weight.to(f.dtype)
        for nodes, (at_f, at_g), logits, hidden, real in chunks(f, g, weight, bias):
            d_logits = _gradient(
                logits, of_blank[nodes], of_label[nodes], lattice.label[nodes], lattice.blank
            )
            d_weight += _product(d_logits.t(), hidden, ctx.product)
            d_bias += d_logits.sum(0)
            # real > 0 where the unit was neither cut off nor dropped.
            d_hidden = _product(d_logits, weight_f, ctx.product).mul_(real > 0)
            if chunks.exponent is not None:
                d_hidden.mul_(real < limit)
            if chunks.dropout:
                d_hidden /= 1.0 - chunks.dropout
            d_f.index_add_(0, at_f, d_hidden)
            d_g.index_add_(0, at_g, d_hidden)
        return d_f.view(f.shape), d_g.view(g.shape), d_weight, d_bias, None


def _product(a: Tensor, b: Tensor, dtype: torch.dtype) -> Tensor:
    """Return a @ b in a's dtype, multiplied in another."""
    with as_written(a.device):
        return (a.to(dtype) @ b.to(dtype)).to(a.dtype)


def _kept(device: torch.device, dropout: float, seed: int) -> Callable[[torch.Size], Tensor]:
    """Return what draws which units are kept, in order."""
    if device.type == "cpu":
        rng = np.random.Generator(np.random.SFC64(seed))  # 5 times torch's own speed
        return lambda shape: torch.from_numpy(rng.random(tuple(shape), np.float32) >= dropout)
    generator = torch.Generator(device).manual_seed(seed) if dropout else None
    return lambda shape: torch.rand(shape, generator=generator, device=device) >= dropout
