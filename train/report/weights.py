"""Gradients and weights of a model as figures: norms by module, samples for histograms by layer."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from train.optimiser.weights import named_weights

SAMPLED = 1 << 16  # values of a tensor that a histogram counts: more look the same


@torch.no_grad()
def gradient_norms(objective: nn.Module) -> dict[str, float]:
    """Return the norm of the gradient by module, before it is clipped: encoder, joint.output, ..."""
    squares: dict[str, float] = {}
    for name, weight in named_weights(objective).items():
        if weight.grad is not None:
            first, *rest = name.split(".")
            module = f"{first}.{rest[0]}" if first == "joint" else first
            square = float(weight.grad.double().square().sum())
            squares[module] = squares.get(module, 0.0) + square
    return {module: math.sqrt(square) for module, square in squares.items()}


@torch.no_grad()
def samples(objective: nn.Module) -> Iterator[tuple[str, NDArray[np.float32]]]:
    """Yield the names and values, (n,) and finite, of all weights and of their gradients."""
    for name, weight in named_weights(objective).items():
        for kind, tensor in (("weights", weight), ("gradients", weight.grad)):
            if tensor is not None and len(values := _sample(tensor)):
                yield f"{kind}/{name}", values


def _sample(tensor: Tensor) -> NDArray[np.float32]:
    flat = tensor.detach().flatten()
    some = flat[:: -(-len(flat) // SAMPLED)].float().cpu()
    values: NDArray[np.float32] = some[torch.isfinite(some)].numpy()
    return values
