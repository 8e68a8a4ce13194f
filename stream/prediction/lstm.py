"""The LSTM prediction network: an embedding and LSTM layers (NUMERICS 3.1). Arrays, P units:

    prediction.embedding                                           (V, P)
    prediction.lstm.N.{weight_ih, weight_hh, bias_ih, bias_hh}     (4P, P), (4P, P), (4P,), (4P,)

State: (h, c) of each layer, (batch, P) each.
"""

from __future__ import annotations

import msgspec

from stream.encoders.family import Arrays
from stream.encoders.lstm_layer import (
    Activation,
    NumberFormat,
    initial_state,
    layer_shapes,
    prepare_layers,
    step_layers,
)
from stream.prediction.family import EMBEDDING, Prediction, embed, with_start
from stream.stage import Array, State

STACK = "prediction.lstm"


class PredictionLSTM(
    Prediction,
    msgspec.Struct,
    frozen=True,
    forbid_unknown_fields=True,
    tag="lstm",
    tag_field="family",
):
    """The LSTM prediction network.

    Attributes:
        depth: LSTM layers.
        hidden: units of a layer, and the size of the embedding.
        activation, number_format: of all layers.
    """

    depth: int = 1
    hidden: int = 128
    activation: Activation = "hard"
    number_format: NumberFormat = "float32"

    @property
    def size(self) -> int:
        """The size of an output."""
        return self.hidden

    def shapes(self, vocabulary: int) -> dict[str, tuple[int, ...]]:
        embedding = {EMBEDDING: (vocabulary, self.hidden)}
        return embedding | layer_shapes(STACK, self.depth, self.hidden, self.hidden)

    def layers(self) -> tuple[str, ...]:
        return tuple(f"{STACK}.{n}" for n in range(self.depth))

    def prepare(self, arrays: Arrays) -> Arrays:
        """Return arrays laid out and rounded for `step`."""
        layers = prepare_layers(arrays, self.layers(), self.number_format)
        return {EMBEDDING: with_start(arrays[EMBEDDING]), **layers}

    def initial_state(self, batch: int) -> State:
        """Return zeros."""
        return tuple(initial_state(batch, self.hidden) for _ in range(self.depth))

    def step(self, arrays: Arrays, tokens: Array, state: State) -> tuple[Array, State]:
        x = embed(arrays[EMBEDDING], tokens)
        return step_layers(arrays, self.layers(), x, state, self.activation, self.number_format)
