"""Ranges of the int8 graphs: the largest magnitudes that they represent."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from stream.model.quantisation import Quantisation

LEVELS = 255  # of the joint's hidden vector, which is not negative


@dataclass(frozen=True)
class Ranges:
    """Largest magnitudes that the int8 graphs represent; beyond them values saturate.

    Attributes:
        x: of the encoder's input, normalised log-mel.
        joint: of the joint's hidden vector, after its ReLU; None of a model without a joint.
        layers: of the inputs of linear layers, by their names, where no bound is known as it is for LSTMs.
    Raises:
        ValueError: one is not a positive number.
    """

    x: float
    joint: float | None
    layers: Mapping[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        joint = {} if self.joint is None else {"joint": self.joint}
        for name, value in ({"x": self.x} | joint | dict(self.layers)).items():
            if not 0.0 < value < np.inf:
                raise ValueError(f"int8: the range of {name} is {value}, wants a positive number")

    @classmethod
    def of(cls, quantisation: Quantisation) -> Ranges:
        """Return the ranges whose scales are those of a model's integers, powers of two."""
        return cls(127.0 * 2.0**-quantisation.input, LEVELS * 2.0**-quantisation.joint)
