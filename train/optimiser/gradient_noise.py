"""Noise on gradients (NUMERICS 5.5)."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor


def noise_deviation(update: int, level: float, decay: float = 0.55, start: int = 2000) -> float:
    """Return the standard deviation of gradient noise at an update; 0 before `start`."""
    return level / (1 + update - start) ** decay if update >= start else 0.0


@torch.no_grad()
def add_gradient_noise(parameters: Iterable[Tensor], deviation: float) -> None:
    """Add independent normal noise to every gradient, drawn with torch's global seed."""
    if deviation > 0.0:
        for p in parameters:
            if p.grad is not None:
                p.grad.add_(torch.randn_like(p.grad), alpha=deviation)
