"""What a model begins with: tokenizer, statistics and weights, from a checkpoint or any model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from stream.model.network import Network, NgramFile
from stream.model.stages import Stage, stages_of
from train.checkpoint import ngram_in, statistics_in
from train.model import Transducer


@dataclass(frozen=True)
class Start:
    """What a model begins with: tokenizer, statistics, and weights where it is a fine-tune.

    Attributes:
        tokenizer: bytes of the SentencePiece model.
        statistics: `normaliser.mean` and `normaliser.variance` of the training set's log-mel, (80,) float32
            each; empty for a model that has none.
        weights: a state of `Transducer`, with normalised layers except where the run quantises, or
            None for random ones.
        source: path of the model or checkpoint that all this is from; None: it is from the files that
            the configuration names.
        ngram: the n-gram model that checkpoints carry, or None.
        spelling: bytes of the SentencePiece model that the weights are for.
        origin: what a run that is resumed took from which model, for the notes of its checkpoints.
        stages: runs that made the weights, the first one first (`stream.model.stages`).
        parent: SHA-256 of the weights that the run starts from, likewise.
    """

    tokenizer: bytes
    statistics: Mapping[str, NDArray[np.float32]]
    weights: dict[str, Tensor] | None = None
    source: str | None = None
    ngram: NgramFile | None = None
    spelling: bytes = b""
    origin: dict[str, Any] | None = None
    stages: Sequence[Stage] = ()
    parent: str | None = None


def checkpoint_start(content: Mapping[str, Any], source: str | None, *, weights: bool) -> Start:
    """Return the start that a training checkpoint gives, with or without its averaged weights.

    Without them it is that of a run that is resumed, whose own start the checkpoint's notes have.
    """
    notes = content["notes"]
    own = {} if weights else notes.get("training", {})
    return Start(
        content["tokenizer"],
        statistics_in(content),
        {**_auxiliary_head(content), **content["averaged"]} if weights else None,
        source,
        ngram_in(content),
        content["tokenizer"],
        origin=own.get("init"),
        stages=stages_of(notes) if weights else own.get("before", ()),
        parent=own.get("parent"),
    )


def _auxiliary_head(content: Mapping[str, Any]) -> dict[str, Tensor]:
    """Return the CTC head that helped a transducer's training, of a last.pt: a run that keeps one starts from it."""
    objective = content.get("objective", {})
    return {name: tensor for name, tensor in objective.items() if name.startswith("ctc.")}


def folded_start(network: Network, source: str | None = None, *, normalised: bool = False) -> Start:
    """Return the start that any model gives, its normalisation folded into the weights.

    Args:
        normalised: whether the run's layers are normalised; by an identity then, which has to stay one.
    """
    specification = msgspec.structs.replace(network.specification, number_format="float32")
    plain = replace(network, specification=specification).in_float()
    return Start(
        network.tokenizer,
        {name: a for name, a in network.arrays.items() if name.startswith("normaliser.")},
        Transducer.from_network(plain, normalised=normalised).state_dict(),
        source,
        network.ngram,
        network.tokenizer,
        stages=stages_of(network.notes),
    )
