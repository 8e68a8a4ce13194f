"""What a run begins with, and the integer formats that a quantised one chooses from it."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Literal

import msgspec
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from stream.network import Network, Specification
from train.model import Transducer, lengths_to_mask

__all__ = ["Start", "folded_start", "largest_joint", "weight_bits"]


@dataclass(frozen=True)
class Start:
    """What a model begins with: tokenizer, statistics, and weights where it is a fine-tune.

    Attributes:
        tokenizer: bytes of the SentencePiece model.
        mean, variance: (80,) float32 log-mel statistics of the training set.
        weights: a state of `Transducer`, with normalised layers except where the run quantises, or
            None for random ones.
    """

    tokenizer: bytes
    mean: NDArray[np.float32]
    variance: NDArray[np.float32]
    weights: dict[str, Tensor] | None = None


def folded_start(network: Network) -> Start:
    """Return the start of a run that rounds weights: any model, its normalisation folded into the weights."""
    specification = msgspec.structs.replace(network.specification, number_format="float32")
    plain = replace(network, specification=specification).in_float()
    return Start(
        network.tokenizer,
        network.arrays["normaliser.mean"],
        network.arrays["normaliser.variance"],
        Transducer.from_network(plain).state_dict(),
    )


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
