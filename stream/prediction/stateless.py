"""The stateless prediction network: a weighted sum of the embeddings of the last few tokens.

y[t] = relu(sum over k of w[:, k] e[t - context + 1 + k]), as in "RNN-Transducer with Stateless Prediction
Network" (Ghodsi et al., ICASSP 2020) with a depthwise convolution over the tokens. Arrays, P its size:

    prediction.embedding         (V, P)
    prediction.context.weight    (P, context), the oldest token first

State: the embeddings of the tokens before, (batch, context - 1, P); zeros at the start of a sequence.
"""

from __future__ import annotations

import msgspec
import numpy as np
from array_api_compat import array_namespace

from stream.encoders.family import Arrays
from stream.prediction.family import EMBEDDING, Prediction, embed, with_start
from stream.stage import Array, State

WEIGHT = "prediction.context.weight"


class Stateless(
    Prediction,
    msgspec.Struct,
    frozen=True,
    forbid_unknown_fields=True,
    tag="stateless",
    tag_field="family",
):
    """The stateless prediction network.

    Attributes:
        size: of the embedding, and of an output.
        context: tokens that an output depends on.
    Raises:
        ValueError: one of them is less than 1.
    """

    size: int = 128
    context: int = 2

    def __post_init__(self) -> None:
        for name in ("size", "context"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} is {getattr(self, name)}, wants at least 1")

    def shapes(self, vocabulary: int) -> dict[str, tuple[int, ...]]:
        return {EMBEDDING: (vocabulary, self.size), WEIGHT: (self.size, self.context)}

    def layers(self) -> tuple[str, ...]:
        """Return the name of the convolution."""
        return ("prediction.context",)

    def prepare(self, arrays: Arrays) -> Arrays:
        return {EMBEDDING: with_start(arrays[EMBEDDING]), WEIGHT: arrays[WEIGHT]}

    def initial_state(self, batch: int) -> State:
        """Return zeros."""
        return np.zeros((batch, self.context - 1, self.size), np.float32)

    def step(self, arrays: Arrays, tokens: Array, state: State) -> tuple[Array, State]:
        xp, count = array_namespace(tokens), tokens.shape[1]
        e = xp.concat([state, embed(arrays[EMBEDDING], tokens)], axis=1)
        y = sum(arrays[WEIGHT][:, k] * e[:, k : k + count] for k in range(self.context))
        return xp.clip(y, 0.0, None), e[:, count:]
