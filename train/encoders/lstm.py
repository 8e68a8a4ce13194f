"""The training form of the LSTM encoder: normalised layers, dropout, and whole sequences at once.

A specification with a quantisation gives layers whose forward pass is that of `stream.integer.network`,
value by value, and one of number format bfp16 rounds where the card does; parameters stay floats. Such
layers have no `InputNorm`: what folds must be folded before it is rounded.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import cast

import torch
from torch import Tensor, nn

from stream.encoders.lstm import LSTM as Sizes
from stream.encoders.lstm import PAIR
from stream.encoders.lstm_layer import KEYS
from stream.front_end.stacking import join_pairs
from stream.integer.network import HIDDEN_EXPONENT
from stream.model.specification import Specification
from stream.stage import State
from train.config.learning import Dropout
from train.encoders.bfp16_lstm import BlockFloatingLSTM
from train.encoders.input_norm import InputNorm
from train.encoders.lstm_layer import LSTM


class Layer(nn.Module):
    """Normalisation of the input (not in an exported model), dropout, LSTM.

    Args:
        name: of the layer's arrays.
        lstm: the layer.
        normalised: whether its input is normalised.
        dropout: probability of dropping an input.
    """

    def __init__(self, name: str, lstm: LSTM, *, normalised: bool, dropout: float) -> None:
        super().__init__()
        self.name = name
        self.norm = InputNorm(lstm.inputs) if normalised else None
        self.dropout = nn.Dropout(dropout)
        self.lstm = lstm

    def step(
        self,
        x: Tensor,
        state: State,
        mask: Tensor | None,
        exponent: int,
        lengths: Sequence[int] | None = None,
    ) -> tuple[Tensor, State]:
        """Run over x, (B, T, inputs).

        Args:
            mask: (B, T), names the frames that the statistics count.
            exponent: of x, where the layer is quantised.
            lengths: frames of each row that are needed; None: all.
        """
        if self.norm is not None:
            x = self.norm(x, mask)
        after = self.lstm.step(self.dropout(x), state, exponent, lengths)
        return cast(tuple[Tensor, State], after)

    def arrays(self) -> dict[str, Tensor]:
        """Return the arrays by name, float64, with the normalisation folded in."""
        values = {key: getattr(self.lstm, key).detach().double() for key in KEYS}
        values["weight_ih"], values["bias_ih"] = fold(
            self.norm, values["weight_ih"], values["bias_ih"]
        )
        return {f"{self.name}.{key}": value for key, value in values.items()}

    def load(self, arrays: Mapping[str, Tensor]) -> None:
        """Take the layer's arrays, by name."""
        with torch.no_grad():
            for key in KEYS:
                getattr(self.lstm, key).copy_(arrays[f"{self.name}.{key}"])


class LSTMEncoder(nn.Module):
    """The encoder `stream.encoders.lstm.LSTM`.

    Args:
        specification: of the model.
        normalised: whether layers normalise their inputs.
        dropout: the probabilities while training.
    Attributes:
        output_norm: normalisation of the output, which the joint folds in; None: there is none.
    """

    def __init__(self, specification: Specification, *, normalised: bool, dropout: Dropout) -> None:
        super().__init__()
        self.specification = specification
        sizes = cast(Sizes, specification.encoder)
        self.pre, self.post = (
            nn.ModuleList(
                layer(
                    specification,
                    f"{stack}.{n}",
                    inputs if n == 0 else sizes.hidden,
                    sizes.hidden,
                    recurrent_dropout=dropout.recurrent,
                    # The first input is the features, which are normalised and augmented before.
                    normalised=normalised and (stack, n) != (first, 0),
                    dropout=0.0 if (stack, n) == (first, 0) else dropout.encoder,
                )
                for n in range(count)
            )
            for first in [sizes.stacks[0][0]]
            for stack, count, inputs in sizes.stacks
        )
        self.output_norm = InputNorm(sizes.hidden) if normalised else None

    def initialise(self, generator: torch.Generator) -> None:
        """Draw all weights (NUMERICS 3.4)."""
        for each in self._layers():
            each.lstm.initialise(generator)

    def initial_state(self, batch: int) -> State:
        """Return zeros."""
        pre, post = (
            tuple(cast(Layer, each).lstm.initial_state(batch) for each in stack)
            for stack in (self.pre, self.post)
        )
        return pre, post

    def step(self, x: Tensor, state: State, present: Tensor | None = None) -> tuple[Tensor, State]:
        """Encode stacked frames, (B, 2 n, 240) -> (B, n, hidden); see `stream.encoders.family`."""
        pre, post = state
        quantisation = self.specification.quantisation
        exponent = HIDDEN_EXPONENT if quantisation is None else quantisation.input
        h, pre = run_layers(self.pre, x, pre, present, exponent)
        pairs = None if present is None else present[:, ::PAIR]
        h, post = run_layers(self.post, join_pairs(h, present), post, pairs)
        if self.output_norm is not None:
            h = self.output_norm(h, pairs)
        return h, (pre, post)

    def arrays(self) -> dict[str, Tensor]:
        """Return the arrays by name, float64, with the normalisation of inputs folded in."""
        return {name: array for each in self._layers() for name, array in each.arrays().items()}

    def load(self, arrays: Mapping[str, Tensor]) -> None:
        """Take arrays by name."""
        for each in self._layers():
            each.load(arrays)

    def _layers(self) -> Iterator[Layer]:
        for stack in (self.pre, self.post):
            yield from cast(Iterator[Layer], iter(stack))


def layer(
    specification: Specification,
    name: str,
    inputs: int,
    hidden: int,
    *,
    recurrent_dropout: float,
    normalised: bool,
    dropout: float,
) -> Layer:
    """Return a layer in the arithmetic that the specification is trained for."""
    quantisation = specification.quantisation
    lstm: LSTM
    if specification.number_format == "bfp16":
        lstm = BlockFloatingLSTM(inputs, hidden, specification.activation)
    elif quantisation is None:
        lstm = LSTM(inputs, hidden, specification.activation, recurrent_dropout)
    else:  # brevitas takes seconds to import, and only a quantised model needs it
        from train.encoders.integer_lstm import QuantisedLSTM

        lstm = QuantisedLSTM(name, inputs, hidden, quantisation.bits(name))
    return Layer(name, lstm, normalised=normalised, dropout=dropout)


def run_layers(
    layers: nn.ModuleList,
    x: Tensor,
    state: State,
    mask: Tensor | None,
    exponent: int = HIDDEN_EXPONENT,
) -> tuple[Tensor, State]:
    """Run a stack of layers over x, whose exponent is given where they are quantised."""
    after, lengths = [], None
    if (
        mask is not None and layers.training and x.device.type == "cpu"
    ):  # others would wait for them
        lengths = mask.sum(1).tolist()
    for each, before in zip(layers, state, strict=True):
        x, new = cast(Layer, each).step(x, before, mask, exponent, lengths)
        exponent = HIDDEN_EXPONENT
        after.append(new)
    return x, tuple(after)


def fold(norm: InputNorm | None, weight: Tensor, bias: Tensor) -> tuple[Tensor, Tensor]:
    """Fold the normalisation of a layer's input into the layer, float64.

    y = W (s x + t) + b is (W s) x + (b + W t): exact up to rounding.
    """
    if norm is None:
        return weight, bias
    scale, shift = (v.double() for v in norm.affine())
    return weight * scale, bias + weight @ shift
