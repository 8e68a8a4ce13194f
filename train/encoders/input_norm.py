"""The normalisation between layers, which training needs and the target does not have."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn


class InputNorm(nn.Module):
    """Batch normalisation of (B, T, F) without learned factors: an affine map once trained.

    Statistics count the frames of a mask. In training they are the batch's, unless `frozen`; else the
    running ones, which `advance` moves by the batches that were seen since: those of an update, all
    parts of it and all ranks. `affine` gives the map that folds into the next layer's input weights.
    Float32, whatever autocast says.

    Args:
        features: F.
        momentum: weight of an update's batches in the running statistics.
    Attributes:
        seen: (frames, mean, variance) of each batch since the running statistics were moved, one
            vector (1 + 2 F,).
    """

    mean: Tensor
    variance: Tensor
    batches: Tensor

    def __init__(self, features: int, momentum: float = 0.05, epsilon: float = 1e-5) -> None:
        super().__init__()
        self.momentum, self.epsilon, self.frozen = momentum, epsilon, False
        self.seen: list[Tensor] = []
        self.register_buffer("mean", torch.zeros(features))
        self.register_buffer("variance", torch.ones(features))
        self.register_buffer("batches", torch.zeros((), dtype=torch.float32))

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        """Normalise x, (B, T, F); `mask`, (B, T) bool, names the frames that count."""
        x = x.to(torch.promote_types(x.dtype, torch.float32))
        if not self.training or self.frozen:
            scale, shift = self.affine()
            return x * scale + shift
        if mask is None:
            frames = x.new_tensor([x.shape[0] * x.shape[1]])
            mean, variance = x.mean((0, 1)), x.var((0, 1), correction=0)
            centred = x - mean
        else:
            frames = mask.sum().to(x.dtype)[None]
            weight = (mask / mask.sum().clamp(min=1)).to(x.dtype)[:, :, None]
            mean = (x * weight).sum((0, 1))
            centred = x - mean
            variance = (centred * centred * weight).sum((0, 1))
        self.seen.append(torch.cat([frames, mean.detach(), variance.detach()]))
        return centred * torch.rsqrt(variance + self.epsilon)

    @torch.no_grad()
    def advance(self, seen: Tensor) -> None:
        """Move the running statistics by those of all the frames of an update's batches.

        Args:
            seen: (batches, 1 + 2 F), rows as in the attribute.
        """
        self.seen = []
        weight = seen[:, :1] / seen[:, :1].sum().clamp(min=1)
        means, variances = seen[:, 1:].chunk(2, dim=1)
        mean = (weight * means).sum(0)
        variance = (weight * (variances + (means - mean).square())).sum(0)
        rate = max(self.momentum, 1.0 / (float(self.batches) + 1.0))  # a mean, at the start
        self.batches += 1
        self.mean.lerp_(mean.to(self.mean.dtype), rate)
        self.variance.lerp_(variance.to(self.variance.dtype), rate)

    def affine(self) -> tuple[Tensor, Tensor]:
        """Return (scale, shift), each (F,): y = scale x + shift by the running statistics."""
        scale = torch.rsqrt(self.variance + self.epsilon)
        return scale, -self.mean * scale


def advance_norms(module: nn.Module, gathered: Callable[[Tensor], list[Tensor]]) -> None:
    """Move the running statistics of a module's norms by an update's batches, of all parts and ranks.

    Args:
        gathered: returns the same tensor of each rank, in order.
    """
    norms = [norm for norm in _norms(module) if norm.seen]
    if not norms:
        return
    of_parts = zip(*(norm.seen for norm in norms), strict=True)
    own = torch.stack([torch.cat(of_part) for of_part in of_parts])
    # In the order of the batches' numbers: part by part, and in it rank by rank.
    every = torch.stack(gathered(own), dim=1).flatten(0, 1)
    sizes = [len(norm.seen[0]) for norm in norms]
    for norm, seen in zip(norms, every.split(sizes, dim=1), strict=True):
        norm.advance(seen)


def forget_batches(module: nn.Module) -> None:
    """Forget the batches that a module's norms have seen since their running statistics were moved."""
    for norm in _norms(module):
        norm.seen = []


def _norms(module: nn.Module) -> list[InputNorm]:
    return [each for each in module.modules() if isinstance(each, InputNorm)]
