"""The normalisation between layers, which training needs and the target does not have."""

from __future__ import annotations

import torch
from torch import Tensor, nn

__all__ = ["InputNorm"]


class InputNorm(nn.Module):
    """Batch normalisation of (B, T, F) without learned factors: an affine map once trained.

    Statistics count the frames of a mask. In training they are the batch's (and update the running
    ones) unless `frozen`; else the running ones. `affine` gives the map that folds into the next
    layer's input weights. Float32, whatever autocast says.

    Args:
        features: F.
        momentum: weight of a batch in the running statistics.
    """

    mean: Tensor
    variance: Tensor
    batches: Tensor

    def __init__(self, features: int, momentum: float = 0.05, epsilon: float = 1e-5) -> None:
        super().__init__()
        self.momentum, self.epsilon, self.frozen = momentum, epsilon, False
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
            mean, variance = x.mean((0, 1)), x.var((0, 1), correction=0)
            centred = x - mean
        else:
            weight = (mask / mask.sum().clamp(min=1)).to(x.dtype)[:, :, None]
            mean = (x * weight).sum((0, 1))
            centred = x - mean
            variance = (centred * centred * weight).sum((0, 1))
        with torch.no_grad():
            rate = max(self.momentum, 1.0 / (float(self.batches) + 1.0))  # a mean, at the start
            self.batches += 1
            self.mean.lerp_(mean.to(self.mean.dtype), rate)
            self.variance.lerp_(variance.to(self.variance.dtype), rate)
        return centred * torch.rsqrt(variance + self.epsilon)

    def affine(self) -> tuple[Tensor, Tensor]:
        """Return (scale, shift), each (F,): y = scale x + shift by the running statistics."""
        scale = torch.rsqrt(self.variance + self.epsilon)
        return scale, -self.mean * scale
