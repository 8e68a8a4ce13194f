"""The training loss of a batch: the transducer's, and CTC on the encoder as a help at the start.

A transducer that starts from nothing spends thousands of updates emitting blanks only; CTC on the same
encoder output shows it at once where the words are. CTC's output layer belongs to training alone.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn

from train.config import Loss
from train.loss import Penalties, joint_transducer_loss
from train.model import Transducer

__all__ = ["Objective", "Parts"]


class Parts(NamedTuple):
    """The mean losses of a batch, nats an utterance: what is minimised, and what it is made of."""

    total: Tensor
    transducer: Tensor
    ctc: Tensor


class Objective(nn.Module):
    """The loss of a transducer on padded batches; holds the model and CTC's output layer."""

    def __init__(self, model: Transducer, weights: Loss) -> None:
        super().__init__()
        self.model = model
        self.weights = weights
        self.ctc = nn.Linear(model.specification.joint, model.specification.vocabulary + 1)

    def forward(self, x: Tensor, lengths: Tensor, tokens: Tensor, token_lengths: Tensor) -> Parts:
        """Compute the mean losses of a batch.

        Args:
            x: (B, S, 240) normalised stacked frames, S even.
            lengths: (B,) stacked frames of each row.
            tokens: (B, U) padded; token_lengths: (B,).
        """
        f, g, steps = self.model(x, lengths, tokens)
        transducer = joint_transducer_loss(
            f.float(),
            g.float(),
            self.model.output.weight,
            self.model.output.bias,
            tokens,
            steps,
            token_lengths,
            penalties=Penalties(delay=self.weights.delay_penalty),
            dropout=self.model.joint_dropout if self.training else 0.0,
        ).mean()
        if self.weights.ctc == 0.0:
            return Parts(transducer, transducer, transducer.new_zeros(()))
        log_probabilities = self.ctc(torch.relu(f)).float().log_softmax(-1)
        ctc = nn.functional.ctc_loss(
            log_probabilities.transpose(0, 1),
            tokens,
            steps,
            token_lengths,
            blank=self.model.specification.blank,
            reduction="none",
            zero_infinity=True,  # a row of more tokens than steps teaches CTC nothing
        ).mean()
        return Parts(transducer + self.weights.ctc * ctc, transducer, ctc)
