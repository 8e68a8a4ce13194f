"""What an update did: its losses, its gradient's norm and how much it learned from."""

from __future__ import annotations

from typing import NamedTuple


class Losses(NamedTuple):
    """The mean losses over an update's utterances, nats; `train.loss.objective.Parts` has those of a batch."""

    total: float
    transducer: float
    ctc: float
    bag: float


class Learned(NamedTuple):
    """What an update did, over all its parts and ranks.

    Attributes:
        rate: the learning rate.
        losses: means over the utterances.
        norm: the gradient's, before clipping.
        seconds: of audio.
        utterances, tokens: their numbers.
        skipped: for each utterance that was left out, what is wrong with it.
    """

    rate: float
    losses: Losses
    norm: float
    seconds: float
    utterances: int
    tokens: int
    skipped: tuple[str, ...]
