"""The training form of the LSTM prediction network; in integers or bfp16 as `train.encoders.lstm` is."""

from __future__ import annotations

from collections.abc import Mapping
from typing import cast

import torch
from torch import Tensor, nn

from stream.integer.network import HIDDEN_EXPONENT
from stream.model.specification import Specification
from stream.prediction.family import EMBEDDING, with_start
from stream.prediction.lstm import PredictionLSTM
from stream.stage import State
from train.config.learning import Dropout
from train.encoders.lstm import Layer, layer, run_layers

EMBEDDING_BITS = 8


class LSTMPrediction(nn.Module):
    """The prediction network `stream.prediction.lstm.PredictionLSTM`.

    Args:
        specification: of the model.
        dropout: the probabilities while training.
    """

    def __init__(self, specification: Specification, dropout: Dropout) -> None:
        super().__init__()
        self.specification = specification
        sizes = cast(PredictionLSTM, specification.prediction)
        self.layers = nn.ModuleList(
            layer(
                specification,
                name,
                sizes.hidden,
                sizes.hidden,
                recurrent_dropout=0.0,
                normalised=False,
                dropout=dropout.prediction,
            )
            for name in sizes.layers()
        )
        self.embedding = nn.Embedding(specification.vocabulary, sizes.hidden)

    def initialise(self, generator: torch.Generator) -> None:
        """Draw all weights (NUMERICS 3.4)."""
        for each in self.layers:
            cast(Layer, each).lstm.initialise(generator)
        with torch.no_grad():
            self.embedding.weight.normal_(generator=generator)

    def initial_state(self, batch: int) -> State:
        """Return zeros."""
        return tuple(cast(Layer, each).lstm.initial_state(batch) for each in self.layers)

    def step(self, tokens: Tensor, state: State) -> tuple[Tensor, State]:
        """Read tokens, (B, n) -> (B, n, hidden); see `stream.prediction.family`."""
        table, exponent = self._embedding()
        x = nn.functional.embedding(tokens, with_start(table))
        return run_layers(self.layers, x, state, None, exponent)

    def arrays(self) -> dict[str, Tensor]:
        """Return the arrays by name, float64."""
        arrays = {EMBEDDING: self.embedding.weight.detach().double()}
        for each in self.layers:
            arrays |= cast(Layer, each).arrays()
        return arrays

    def load(self, arrays: Mapping[str, Tensor]) -> None:
        """Take arrays by name."""
        with torch.no_grad():
            self.embedding.weight.copy_(arrays[EMBEDDING])
        for each in self.layers:
            cast(Layer, each).load(arrays)

    def _embedding(self) -> tuple[Tensor, int]:
        """Return the table of the pieces, (V, P), and its exponent where it is quantised."""
        if self.specification.quantisation is None:
            return self.embedding.weight, HIDDEN_EXPONENT
        from train.encoders.quantisers import quantise_weight

        return quantise_weight(EMBEDDING, self.embedding.weight, EMBEDDING_BITS)
