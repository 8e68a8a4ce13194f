"""The starting weights and data of a run, and how a quantised run picks its integer formats."""

from __future__ import annotations

import contextlib
import itertools
import math
from collections.abc import Generator, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import msgspec
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from stream.manifest import Utterance
from stream.model.network import Network, NgramFile
from stream.model.specification import Specification
from train.checkpoint import ngram_in
from train.compute.ranks import Ranks
from train.data.batches import Batches, prefetch
from train.data.lazy.workers import drawn_by_processes
from train.data.records.record import Record
from train.data.rows import Batch
from train.model import Transducer, lengths_to_mask


@dataclass(frozen=True)
class Start:
    """What a model begins with: tokenizer, statistics, and weights where it is a fine-tune.

    Attributes:
        tokenizer: bytes of the SentencePiece model.
        mean, variance: (80,) float32 log-mel statistics of the training set.
        weights: a state of `Transducer`, with normalised layers except where the run quantises, or
            None for random ones.
        source: path of the model or checkpoint that all this is from; None: it is from the files that
            the configuration names.
        ngram: the n-gram model that checkpoints carry, or None.
        spelling: bytes of the SentencePiece model that the weights are for.
        origin: what a run that is resumed took from which model, for the notes of its checkpoints.
    """

    tokenizer: bytes
    mean: NDArray[np.float32]
    variance: NDArray[np.float32]
    weights: dict[str, Tensor] | None = None
    source: str | None = None
    ngram: NgramFile | None = None
    spelling: bytes = b""
    origin: dict[str, Any] | None = None


@dataclass(frozen=True)
class Material:
    """What is learned from, and what it is scored on.

    Attributes:
        batches: of the training set.
        dev: utterances, and their audio, each (samples,) float32.
        hours: of recordings in the training set, before augmentation.
        workers: processes that draw the batches; 0: a thread does.
        skip_limit: how many utterances may be left out.
    """

    batches: Batches
    dev: Sequence[Utterance | Record]
    dev_audio: Sequence[NDArray[np.float32]]
    hours: float
    workers: int = 0
    skip_limit: int = 0

    def shared(self, ranks: Ranks, parts: int) -> Material:
        """Return the material of a rank, which draws so many batches for each update."""
        batches = replace(self.batches, rank=ranks.rank, ranks=ranks.count, parts=parts)
        return replace(self, batches=batches)

    def drawn(self, start: int, end: int) -> Generator[list[Batch]]:
        """Yield the batches of updates start to end, all parts of each, drawn ahead."""
        parts = self.batches.parts
        turns = start * parts, end * parts
        drawn = (
            drawn_by_processes(self.batches, *turns, self.workers)
            if self.workers
            else prefetch(self.batches, *turns)
        )
        with contextlib.closing(drawn):
            for first in drawn:
                yield [first, *itertools.islice(drawn, parts - 1)]


def checkpoint_start(content: Mapping[str, Any], source: str | None, *, weights: bool) -> Start:
    """Return the start that a training checkpoint gives, with or without its averaged weights."""
    return Start(
        content["tokenizer"],
        np.array(content["mean"], np.float32),
        np.array(content["variance"], np.float32),
        content["averaged"] if weights else None,
        source,
        ngram_in(content),
        content["tokenizer"],
        origin=None if weights else content["notes"].get("training", {}).get("init"),
    )


def folded_start(network: Network, source: str | None = None, *, normalised: bool = False) -> Start:
    """Return the start that any model gives, its normalisation folded into the weights.

    Args:
        normalised: whether the run's layers are normalised; by an identity then, which has to stay one.
    """
    specification = msgspec.structs.replace(network.specification, number_format="float32")
    plain = replace(network, specification=specification).in_float()
    return Start(
        network.tokenizer,
        network.arrays["normaliser.mean"],
        network.arrays["normaliser.variance"],
        Transducer.from_network(plain, normalised=normalised).state_dict(),
        source,
        network.ngram,
        network.tokenizer,
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
