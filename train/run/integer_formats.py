"""The integer formats that a quantised run picks: bits of weights, and the range of the joint."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Literal

import torch
from torch import Tensor

from stream.model.specification import Specification
from train.model import Transducer, lengths_to_mask


def weight_bits(quantize: Literal["int8", "w4a8"], specification: Specification) -> dict[str, int]:
    """Return the bits of the layers whose weights have other than 8."""
    layers = specification.layer_names if quantize == "w4a8" else ()
    return {name: 4 for name in layers if not name.startswith("joint.")}


@torch.inference_mode()
def largest_joint(
    model: Transducer, batches: Iterable[tuple[Tensor, Tensor, Tensor, Tensor]]
) -> float:
    """Return the largest element of the joint's hidden vector at any node of the batches' lattices.

    Args:
        model: of floats, in evaluation mode.
        batches: x, lengths, tokens, token_lengths, as `Objective` takes them.
    """
    largest = 0.0
    for x, lengths, tokens, token_lengths in batches:
        f, g, steps = model(x, lengths, tokens)
        # Every step of a row meets every label of it, so the largest sum is that of the largest two.
        of_f, of_g = (
            v.masked_fill(~lengths_to_mask(count, v.shape[1])[:, :, None], -math.inf).amax(1)
            for v, count in ((f, steps), (g, token_lengths + 1))
        )
        largest = max(largest, float((of_f + of_g).max()))
    return largest
