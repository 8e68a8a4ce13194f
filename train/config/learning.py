"""Configuration of how a model learns: optimiser, losses, dropout."""

from __future__ import annotations

import msgspec

__all__ = ["Dropout", "Loss", "Optimiser"]


class Optimiser(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """LAMB and its schedule (NUMERICS 5.2, 5.3).

    Attributes:
        rate, min_rate: learning rate at the plateau and at the end.
        warmup, hold, half_life: updates.
        joint_factor: of the learning rate, for the joint's output layer.
        weight_decay, beta1, beta2, clip_norm: of LAMB.
        ema: decay of the averaged weights, which are what is validated and exported.
        gradient_noise: standard deviation at its start, on the encoder; 0 = none.
    """

    rate: float = 0.008
    min_rate: float = 0.0002
    warmup: int = 200
    hold: int = 2000
    half_life: int = 600
    joint_factor: float = 1.0
    weight_decay: float = 0.01
    beta1: float = 0.9
    beta2: float = 0.999
    clip_norm: float = 1.0
    ema: float = 0.995
    gradient_noise: float = 0.0

    def __post_init__(self) -> None:
        if not 0.0 < self.min_rate <= self.rate:
            raise ValueError(f"optimiser: min_rate {self.min_rate} wants 0 < min_rate <= rate")
        for name in ("ema", "beta1", "beta2"):
            if not 0.0 <= getattr(self, name) < 1.0:
                raise ValueError(
                    f"optimiser: {name} is {getattr(self, name)}, wants 0 <= {name} < 1"
                )
        if not self.clip_norm > 0.0:
            raise ValueError(f"optimiser: clip_norm is {self.clip_norm}, wants more than 0")
        if self.half_life < 1:
            raise ValueError(f"optimiser: half_life is {self.half_life}, wants at least 1")


class Loss(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Terms of the training loss.

    Attributes:
        ctc, bag: weights of the auxiliary losses on the encoder at the start, see `train.loss.objective`.
            A bag is for vocabularies of whole words. Where model.decoder is "both", `ctc` is the weight of the CTC
            head's loss beside the transducer's, to the end; where it is "ctc", that weight is 1.
        help_updates: updates over which these weights fall to a tenth.
        delay_penalty: lambda of NUMERICS 5.1; above 0, tokens come earlier.
        eos_penalty: the same for the piece `<EOS>`, on top of it, where the tokenizer has that piece.
        star: piece of the tokenizer that stands for any words, in transcripts of which parts are
            missing; None: there is none.
        star_penalty: probability, above 0, with which a blank leaves the star; below 1, a star that
            takes in more encoder frames costs more.
    """

    ctc: float = 0.3
    bag: float = 0.0
    help_updates: int = 1300
    delay_penalty: float = 0.0
    eos_penalty: float = 0.0
    star: str | None = None
    star_penalty: float = 1.0

    def __post_init__(self) -> None:
        if self.help_updates < 1:
            raise ValueError(f"loss: help_updates is {self.help_updates}, wants at least 1")
        if not 0.0 < self.star_penalty <= 1.0:
            raise ValueError(
                f"loss: star_penalty is {self.star_penalty}, wants more than 0, 1 at most"
            )


class Dropout(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Probabilities of dropping, all in training only.

    Attributes:
        encoder: an input of an encoder layer after the first, and of the encoder's projection.
        recurrent: a recurrent weight of the encoder, for a whole sequence.
        prediction: an input of the prediction network, and of its projection.
        joint: a hidden unit of the joint.
    """

    encoder: float = 0.1
    recurrent: float = 0.0
    prediction: float = 0.3
    joint: float = 0.3

    def __post_init__(self) -> None:
        for name in self.__struct_fields__:
            if not 0.0 <= getattr(self, name) < 1.0:
                raise ValueError(f"dropout.{name} is {getattr(self, name)}, wants 0 <= p < 1")
