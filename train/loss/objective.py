"""The training loss of a batch: the transducer's, and two auxiliary losses for the encoder at the start.

A transducer that starts from nothing, and CTC no less, spends hundreds of updates on blanks: while
nothing is known, every frame is as good a place for a word as any other, and the gradient that tells
words apart is spread over all of them. Which words a row has, wherever they are (`bag`), is learned at
once from the mean of the encoder's outputs; CTC then shows where. Both heads belong to training alone,
unless the model decodes with CTC (`Specification.decoder`): then the CTC head is the model's own, and its
loss keeps its weight to the end.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn

from stream.decoding.eos import EOS
from stream.stage import State
from train.config.duration import Penalty
from train.config.learning import Loss
from train.config.run import ConfigError
from train.loss.lattice import Penalties
from train.loss.transducer import joint_transducer_loss
from train.model import Transducer, expect_blanks, lengths_to_mask
from train.schedules.penalties import penalty_at

LEAST_SHARE = 0.1  # of the auxiliary weights, to the end


class Parts(NamedTuple):
    """The mean losses of a batch, nats per utterance: what is minimised, and what it is made of.

    `transducer` is 0 for a model that decodes with CTC alone.
    """

    total: Tensor
    transducer: Tensor
    ctc: Tensor
    bag: Tensor


class Objective(nn.Module):
    """The loss of a transducer on padded batches; holds the model and the auxiliary output layers.

    Args:
        model: the model in training.
        weights: of the losses, and what changes the transducer's, at first as in the first update.
        pieces: of the tokenizer, by id, which `weights` may name.
    Raises:
        ConfigError: a piece that `weights` names is none of the tokenizer's.
    """

    def __init__(self, model: Transducer, weights: Loss, pieces: Sequence[str] = ()) -> None:
        super().__init__()
        self.model = model
        self.weights = weights
        self._pieces = _pieces(weights, pieces)
        self.set_penalties(1, (), 1)
        classes = model.specification.vocabulary + 1
        self._heads = model.specification.heads
        if "ctc" not in self._heads:
            self.ctc = nn.Linear(model.specification.joint, classes)
            if weights.blank_prior:
                expect_blanks(self.ctc, model.specification.blank, weights.blank_prior)
        self.bag = nn.Linear(model.specification.joint, classes)

    def set_penalties(self, update: int, wers: Sequence[float], epoch: int) -> None:
        """Have the penalties of an update, and the weight of CTC; see `penalty_at`."""
        weights = self.weights

        def now(penalty: Penalty) -> float:
            return penalty_at(penalty, update, wers, epoch)

        self.ctc_weight = now(weights.ctc)
        self.penalties = Penalties(
            delay=now(weights.delay_penalty),
            eos_penalty=now(weights.eos_penalty),
            star_penalty=now(weights.star_penalty),
            **self._pieces,
        )

    def forward(
        self,
        x: Tensor,
        lengths: Tensor,
        tokens: Tensor,
        token_lengths: Tensor,
        update: int = 0,
        before: tuple[State, State, Tensor] | None = None,
    ) -> Parts:
        """Compute the mean losses of a batch.

        Args:
            x: (B, S, inputs) normalised input frames, whole chunks.
            lengths: (B,) input frames of each row.
            tokens: (B, U) padded; token_lengths: (B,).
            update: of the run; the auxiliary weights fall with it.
            before: what rows go on from: states of encoder and prediction network, and (B,) tokens
                that the latter reads first; None: they begin.
        """
        encoder, prediction, start = (None, None, None) if before is None else before
        f, steps = self.model.encode_rows(x, lengths, encoder)
        transducer = f.new_zeros(())
        if "transducer" in self._heads:
            g = self.model.predict_prefixes(tokens, start, prediction)
            transducer = self._transducer(f, g, steps, tokens, token_lengths)
        ctc = self._ctc(f, steps, tokens, token_lengths)
        bag = self._bag(f, steps, tokens, token_lengths)
        share = max(1.0 - update / self.weights.help_updates, LEAST_SHARE)
        if self._heads == ("transducer",):
            total = transducer + share * (self.ctc_weight * ctc + self.weights.bag * bag)
        else:
            weight = self.ctc_weight if "transducer" in self._heads else 1.0
            total = transducer + weight * ctc + share * self.weights.bag * bag
        return Parts(total, transducer, ctc, bag)

    def _transducer(
        self, f: Tensor, g: Tensor, steps: Tensor, tokens: Tensor, token_lengths: Tensor
    ) -> Tensor:
        weight, bias, exponent = self.model.output_layer()
        return joint_transducer_loss(
            f.float(),
            g.float(),
            weight,
            bias,
            tokens,
            steps,
            token_lengths,
            penalties=self.penalties,
            dropout=self.model.joint_dropout if self.training else 0.0,
            exponent=exponent,
            megabytes=self.weights.joint_megabytes,
        ).mean()

    def _ctc(self, f: Tensor, steps: Tensor, tokens: Tensor, token_lengths: Tensor) -> Tensor:
        if "ctc" in self._heads:
            log_probabilities = self.model.ctc_log_probabilities(f)
        else:
            log_probabilities = self.ctc(torch.relu(f)).float().log_softmax(-1)
        if f.device.type == "mps":  # where torch has no ctc_loss
            log_probabilities = log_probabilities.cpu()
            tokens, steps, token_lengths = tokens.cpu(), steps.cpu(), token_lengths.cpu()
        losses = nn.functional.ctc_loss(
            log_probabilities.transpose(0, 1),
            tokens,
            steps,
            token_lengths,
            blank=self.model.specification.blank,
            reduction="none",
            zero_infinity=True,  # a row of more tokens than steps teaches CTC nothing
        )
        return losses.mean().to(f.device)

    def _bag(self, f: Tensor, steps: Tensor, tokens: Tensor, token_lengths: Tensor) -> Tensor:
        """Cross-entropy of each row's tokens, in no order, given the mean of its encoder outputs."""
        inside = lengths_to_mask(steps, f.shape[1])[:, :, None]
        mean = (f.float() * inside).sum(1) / steps[:, None]
        log_probabilities = self.bag(mean).float().log_softmax(-1)
        wanted = lengths_to_mask(token_lengths, tokens.shape[1])
        likelihood: Tensor = (log_probabilities.gather(1, tokens) * wanted).sum(1)
        return -likelihood.mean()


def _pieces(weights: Loss, pieces: Sequence[str]) -> dict[str, int | None]:
    """Return the ids of the pieces that have penalties of their own."""

    def id_of(key: str, piece: str) -> int:
        if piece not in pieces:
            raise ConfigError(f"loss.{key}: the tokenizer has no piece {piece!r}")
        return pieces.index(piece)

    return {
        "eos": id_of("eos_penalty", EOS) if weights.eos_penalty != 0.0 else None,
        "star": None if weights.star is None else id_of("star", weights.star),
    }
