"""Configuration of how a model learns: optimiser, losses, dropout."""

from __future__ import annotations

import math
from typing import Literal

import msgspec

from train.config.duration import Duration, Penalty, check_duration, values_of

OUTPUT = "joint.output"  # the part of a model that `joint_factor` is of


class Optimiser(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What an update does to weights (NUMERICS 5.2 to 5.5).

    Attributes:
        kind: LAMB, or AdamW, which is the same without a trust ratio.
        schedule: of the learning rate, see `train.schedules.learning_rate`.
        rate, min_rate: learning rate at the plateau, and the least one.
        warmup, hold, half_life: durations; the last one of the schedule half-life.
        eden_updates, eden_epochs: a duration, and epochs, of the schedule eden.
        joint_factor: of the learning rate, for the joint's output layer.
        factors: of the learning rate, by part of the model, see `train.optimiser.weights`.
        freeze: parts of the model that do not learn.
        freeze_until: when parts of the model begin to learn.
        weight_decay, beta1, beta2, eps: of LAMB and AdamW.
        clip_norm: of all gradients together.
        ema: decay of the averaged weights, which are what is validated and exported.
        gradient_noise: standard deviation at its start, on the encoder; 0 = none.
        gradient_noise_start, gradient_noise_decay: the update at which it starts, and the power of the
            updates since then by which it falls.
    """

    kind: Literal["lamb", "adamw"] = "lamb"
    schedule: Literal["half-life", "linear", "cosine", "noam", "eden", "constant"] = "half-life"
    rate: float = 0.008
    min_rate: float = 0.0002
    warmup: Duration = 200
    hold: Duration = 2000
    half_life: Duration = 600
    eden_updates: Duration = 7500
    eden_epochs: float = 3.5
    joint_factor: float = 1.0
    factors: dict[str, float] = {}
    freeze: tuple[str, ...] = ()
    freeze_until: dict[str, Duration] = {}
    weight_decay: float = 0.01
    beta1: float = 0.9
    beta2: float = 0.999
    eps: float = 1e-9
    clip_norm: float = 1.0
    ema: float = 0.995
    gradient_noise: float = 0.0
    gradient_noise_start: Duration = 2000
    gradient_noise_decay: float = 0.55

    def __post_init__(self) -> None:
        if not 0.0 < self.min_rate <= self.rate:
            raise ValueError(f"optimiser: min_rate {self.min_rate} wants 0 < min_rate <= rate")
        for name in ("ema", "beta1", "beta2"):
            if not 0.0 <= getattr(self, name) < 1.0:
                raise ValueError(
                    f"optimiser: {name} is {getattr(self, name)}, wants 0 <= {name} < 1"
                )
        for name in ("clip_norm", "eps", "eden_epochs", "joint_factor"):
            if not getattr(self, name) > 0.0:
                raise ValueError(f"optimiser: {name} is {getattr(self, name)}, wants more than 0")
        for name in ("gradient_noise", "gradient_noise_decay", "weight_decay"):
            if not getattr(self, name) >= 0.0:
                raise ValueError(f"optimiser: {name} is {getattr(self, name)}, wants at least 0")
        for name in ("warmup", "hold", "gradient_noise_start"):
            check_duration(f"optimiser: {name}", getattr(self, name))
        for name in ("half_life", "eden_updates"):
            check_duration(f"optimiser: {name}", getattr(self, name), 1)
        for part, factor in self.factors.items():
            if not factor > 0.0:
                raise ValueError(
                    f"optimiser.factors: {part} is {factor}, wants more than 0. For 0: optimiser.freeze"
                )
        if OUTPUT in self.factors and self.joint_factor != 1.0:
            raise ValueError(f"optimiser: joint_factor and factors both have a factor for {OUTPUT}")
        for part, duration in self.freeze_until.items():
            check_duration(f"optimiser.freeze_until: {part}", duration, 1)
            if part in self.freeze:
                raise ValueError(f"optimiser: freeze and freeze_until both name {part}")


class Loss(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Terms of the training loss.

    Attributes:
        ctc, bag: weights of the auxiliary losses on the encoder at the start, see `train.loss.objective`.
            A bag is for vocabularies of whole words. Where model.decoder is "both", `ctc` is the weight of the CTC
            head's loss beside the transducer's, to the end; where it is "ctc", that weight is 1. The weight may
            change during the run, as penalties may.
        help_updates: updates over which these weights fall to a tenth.
        blank_prior: probability of a blank, below 1, that the output layers of the transducer and of CTC begin
            with; 0: whatever their random weights give. Most frames are blanks, and the steps that teach it
            otherwise go through the encoder. It has no effect on weights that come from another model.
        delay_penalty: lambda of NUMERICS 5.1; above 0, tokens come earlier. This one and the others are
            numbers, or change during the run, see `train.config.duration`.
        eos_penalty: the same for the piece `<EOS>`, on top of it, where the tokenizer has that piece.
        star: piece of the tokenizer that stands for any words, in transcripts of which parts are
            missing; None: there is none.
        star_penalty: probability, above 0, with which a blank leaves the star; below 1, a star that
            takes in more encoder frames costs more.
        joint_megabytes: of the joint's logits and hidden units that exist at once; None: 4 on a CPU, whose
            cache holds them, 256 on other devices.
    """

    ctc: Penalty = 0.3
    bag: float = 0.0
    help_updates: int = 1300
    blank_prior: float = 0.0
    delay_penalty: Penalty = 0.0
    eos_penalty: Penalty = 0.0
    star: str | None = None
    star_penalty: Penalty = 1.0
    joint_megabytes: float | None = None

    def __post_init__(self) -> None:
        if self.help_updates < 1:
            raise ValueError(f"loss: help_updates is {self.help_updates}, wants at least 1")
        if not 0.0 <= self.blank_prior < 1.0:
            raise ValueError(
                f"loss: blank_prior is {self.blank_prior}, wants a probability from 0, below 1"
            )
        if self.joint_megabytes is not None and not 0.0 < self.joint_megabytes < math.inf:
            raise ValueError(f"loss: joint_megabytes is {self.joint_megabytes}, wants more than 0")
        for key in ("ctc", "delay_penalty", "eos_penalty", "star_penalty"):
            for value in values_of(f"loss.{key}", getattr(self, key)):
                if key == "ctc" and not 0.0 <= value < math.inf:
                    raise ValueError(f"loss: ctc is {value}, wants 0 or more")
                if key == "star_penalty" and not 0.0 < value <= 1.0:
                    raise ValueError(f"loss: {key} is {value}, wants more than 0, 1 at most")


class Dropout(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Probabilities of dropping, all in training only.

    Attributes:
        encoder: an input of an encoder layer after the first, and of the encoder's projection.
        recurrent: a recurrent weight of the encoder, for a whole sequence.
        prediction: an input of the prediction network, and of its projection.
        joint: a hidden unit of the joint.
        tokens: a token that the prediction network reads; a random one takes its place. Decoding feeds back
            what it emitted, errors too, and a network that only ever read the right tokens may fall silent
            after a wrong one.
    """

    encoder: float = 0.1
    recurrent: float = 0.0
    prediction: float = 0.3
    joint: float = 0.3
    tokens: float = 0.0

    def __post_init__(self) -> None:
        for name in self.__struct_fields__:
            if not 0.0 <= getattr(self, name) < 1.0:
                raise ValueError(f"dropout.{name} is {getattr(self, name)}, wants 0 <= p < 1")
