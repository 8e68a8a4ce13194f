"""The LSTM transducer as a torch module: built from a specification or a `Network`, folded into one.

NUMERICS 3: stacked frames (B, S, 240) -> f (B, E, J), E = ceil(S / 2), and tokens (B, U) ->
g (B, U + 1, J), both projected to the joint size; the joint itself is in the loss (`train.loss.transducer`) and in
the decoder. Training needs a normalisation between the layers, the target has none: `InputNorm` is an
affine map once trained, and `arrays` folds it into the next layer's input weights and bias.

A specification with a quantisation gives the module whose forward pass is that of `stream.integer.network`, value by
value, and one of number format bfp16 rounds where the card does; parameters stay floats. Such a module has
no `InputNorm`: what folds must be folded before it is rounded.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from stream.encoders.lstm import PAIR
from stream.encoders.lstm_layer import KEYS
from stream.front_end.log_mel import BINS
from stream.front_end.stacking import STACK, join_pairs
from stream.integer.network import HIDDEN_EXPONENT
from stream.model.network import Network
from stream.model.specification import Specification
from stream.stage import State
from train.config.learning import Dropout
from train.encoders.bfp16_lstm import BlockFloatingLSTM
from train.encoders.input_norm import InputNorm
from train.encoders.lstm import LSTM

__all__ = ["Layer", "Transducer", "lengths_to_mask"]

EMBEDDING_BITS = 8


def lengths_to_mask(lengths: Tensor, count: int) -> Tensor:
    """Return (B, count) bool, True before each row's length."""
    return torch.arange(count, device=lengths.device)[None, :] < lengths[:, None]


class Layer(nn.Module):
    """Normalisation of the input (not in an exported model), dropout, LSTM."""

    def __init__(self, lstm: LSTM, *, normalised: bool, dropout: float) -> None:
        super().__init__()
        self.norm = InputNorm(lstm.inputs) if normalised else None
        self.dropout = nn.Dropout(dropout)
        self.lstm = lstm

    def step(
        self, x: Tensor, state: State, mask: Tensor | None, exponent: int
    ) -> tuple[Tensor, State]:
        """Run over x, (B, T, inputs).

        Args:
            mask: (B, T), names the frames that the statistics count.
            exponent: of x, where the layer is quantised.
        """
        if self.norm is not None:
            x = self.norm(x, mask)
        return cast(tuple[Tensor, State], self.lstm.step(self.dropout(x), state, exponent))


class Transducer(nn.Module):
    """Encoder and prediction network with the joint's linear layers, and a CTC head where there is one.

    A model that decodes with CTC alone has no prediction network and no joint: `embedding`,
    `joint_prediction` and `output` are not there, as `ctc` is not where there is no CTC head.

    Args:
        specification: sizes, activation, number format and quantisation.
        normalised: whether layers normalise their inputs; False for a model read from a `Network`,
            and for one whose weights are rounded.
        dropout: the probabilities while training.
    """

    embedding: nn.Embedding
    joint_prediction: nn.Linear
    output: nn.Linear
    ctc: nn.Linear

    def __init__(
        self, specification: Specification, *, normalised: bool, dropout: Dropout | None = None
    ) -> None:
        super().__init__()
        self.specification = spec = specification
        transduces = "transducer" in spec.decoders
        drop = dropout or Dropout(0.0, 0.0, 0.0, 0.0)
        if spec.rounded and (normalised or drop.recurrent):
            raise ValueError(
                f"a model in integers or in block floating point wants normalised = False and "
                f"dropout.recurrent = 0, not {normalised} and {drop.recurrent}: both change weights "
                "that are rounded"
            )

        def layers(name: str, first: int, count: int) -> nn.ModuleList:
            encoder, raw = name != "prediction.lstm", name != "encoder.post"
            size = spec.hidden if encoder else spec.prediction_hidden
            p = drop.encoder if encoder else drop.prediction
            return nn.ModuleList(
                Layer(
                    _lstm(
                        spec,
                        f"{name}.{n}",
                        first if n == 0 else size,
                        size,
                        drop.recurrent if encoder else 0.0,
                    ),
                    normalised=normalised and encoder and not (raw and n == 0),
                    dropout=0.0 if raw and n == 0 and encoder else p,
                )
                for n in range(count)
            )

        self.pre = layers("encoder.pre", BINS * STACK, spec.pre_layers)
        self.post = layers("encoder.post", PAIR * spec.hidden, spec.post_layers)
        self.prediction = layers(
            "prediction.lstm", spec.prediction_hidden, spec.prediction_layers if transduces else 0
        )
        if transduces:
            self.embedding = nn.Embedding(spec.vocabulary, spec.prediction_hidden)
        self.joint_norm = InputNorm(spec.hidden) if normalised else None
        self.encoder_dropout = nn.Dropout(drop.encoder)
        self.prediction_dropout = nn.Dropout(drop.prediction)
        self.joint_dropout = drop.joint
        self.joint_encoder = _linear(spec, "joint.encoder", spec.hidden, spec.joint)
        if transduces:
            self.joint_prediction = _linear(
                spec, "joint.prediction", spec.prediction_hidden, spec.joint
            )
            self.output = _linear(spec, "joint.output", spec.joint, spec.vocabulary + 1)
        if "ctc" in spec.decoders:
            self.ctc = nn.Linear(spec.joint, spec.vocabulary + 1)

    def initialise(self, generator: torch.Generator) -> None:
        """Draw all weights (NUMERICS 3.4, generation 1.14: effective forget bias 1)."""
        for layer in self._layers():
            layer.lstm.initialise(generator)
        with torch.no_grad():
            if "transducer" in self.specification.decoders:
                self.embedding.weight.normal_(generator=generator)
            for linear in self._linear_layers().values():
                bound = linear.in_features**-0.5
                linear.weight.uniform_(-bound, bound, generator=generator)
                linear.bias.uniform_(-bound, bound, generator=generator)

    def initial_state(self, batch: int) -> tuple[State, State]:
        """Return the states of encoder and prediction network: zeros."""
        pre, post, prediction = (
            tuple(cast(Layer, layer).lstm.initial_state(batch) for layer in stack)
            for stack in (self.pre, self.post, self.prediction)
        )
        return (pre, post), prediction

    def encode(
        self, x: Tensor, state: State, present: Tensor | None = None
    ) -> tuple[Tensor, State]:
        """Encode stacked frames.

        Args:
            x: (B, S, 240) normalised stacked frames, S even.
            state: of the encoder.
            present: (B, S) bool; False where a frame lies past the end of its row.
        Returns:
            f, (B, S/2, J), and the state after the last frame.
        """
        pre, post = state
        quantisation = self.specification.quantisation
        exponent = HIDDEN_EXPONENT if quantisation is None else quantisation.input
        h, pre = _run(self.pre, x, pre, present, exponent)
        pairs = None if present is None else present[:, ::PAIR]
        h, post = _run(self.post, join_pairs(h, present), post, pairs)
        if self.joint_norm is not None:
            h = self.joint_norm(h, pairs)
        f: Tensor = self.joint_encoder(self.encoder_dropout(h))
        return f, (pre, post)

    def predict(self, tokens: Tensor, state: State) -> tuple[Tensor, State]:
        """Run the prediction network over tokens (B, U), blank standing for start of sequence.

        Returns:
            g, (B, U, J), and the state after the last token.
        """
        weight, exponent = self._embedding()
        # The start of a sequence is a zero vector, not a token: one more row, at the id of blank.
        table = nn.functional.pad(weight, (0, 0, 0, 1))
        x = nn.functional.embedding(tokens, table)
        h, state = _run(self.prediction, x, state, None, exponent)
        return self.joint_prediction(self.prediction_dropout(h)), state

    def join(self, f: Tensor, g: Tensor) -> Tensor:
        """Return the logits (..., C) of f and g, which broadcast; the loss computes its own."""
        quantisation = self.specification.quantisation
        if quantisation is None:
            logits: Tensor = self.output(torch.relu(f + g))
            return logits
        from train.encoders.quantisers import hidden

        logits = self.output(hidden(f, g, quantisation.joint))
        return logits

    def ctc_log_probabilities(self, f: Tensor) -> Tensor:
        """Return CTC's log-probabilities, (B, E, C), of f, (B, E, J)."""
        logits: Tensor = self.ctc(torch.relu(f))
        return logits.float().log_softmax(-1)

    def output_layer(self) -> tuple[Tensor, Tensor, int | None]:
        """Return weight and bias of the output layer, and the hidden vector's exponent where it is
        quantised, as `joint_transducer_loss` takes them."""
        if self.specification.quantisation is None:
            return self.output.weight, self.output.bias, None
        from train.encoders.quantisers import Logits

        weight, bias = cast(Logits, self.output).quantised()
        return weight, bias, self.specification.quantisation.joint

    def _embedding(self) -> tuple[Tensor, int]:
        """Return the table of the pieces, (V, P), and its exponent where it is quantised."""
        if self.specification.quantisation is None:
            return self.embedding.weight, HIDDEN_EXPONENT
        from train.encoders.quantisers import quantise_weight

        return quantise_weight("prediction.embedding", self.embedding.weight, EMBEDDING_BITS)

    def forward(self, x: Tensor, lengths: Tensor, tokens: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Encode whole utterances and predict after every prefix of their tokens.

        Args:
            x: (B, S, 240) stacked frames, S even; what lies past a row's length has no influence.
            lengths: (B,) stacked frames of each row.
            tokens: (B, U) padded with any of the ids.
        Returns:
            f (B, E, J), g (B, U + 1, J), and the encoder frames of each row, (B,).
        """
        f, steps = self.encode_rows(x, lengths)
        return f, self.predict_prefixes(tokens), steps

    def encode_rows(self, x: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """Encode whole utterances; returns f and the encoder frames of each row, as `forward`."""
        state, _ = self.initial_state(len(x))
        f, _ = self.encode(x, state, lengths_to_mask(lengths, x.shape[1]))
        return f, (lengths + PAIR - 1) // PAIR

    def predict_prefixes(self, tokens: Tensor) -> Tensor:
        """Predict after every prefix of tokens; returns g, as `forward`."""
        _, state = self.initial_state(len(tokens))
        start = tokens.new_full((len(tokens), 1), self.specification.blank)
        g, _ = self.predict(torch.cat([start, tokens], dim=1), state)
        return g

    def encoder_parameters(self) -> Iterator[nn.Parameter]:
        """Yield the weights of the encoder's layers."""
        for stack in (self.pre, self.post):
            yield from stack.parameters()

    def freeze_norms(self) -> None:
        """Keep the input normalisation's statistics from here on, in training too."""
        for module in self.modules():
            if isinstance(module, InputNorm):
                module.frozen = True

    def arrays(self) -> dict[str, NDArray[np.float32]]:
        """Return the arrays of a `Network`, statistics aside, with the normalisation folded in.

        y = W (s x + t) + b is (W s) x + (b + W t): exact up to rounding, computed in float64.
        """
        arrays: dict[str, NDArray[np.float32]] = {}
        for name, layer in self._named_layers():
            values = {k: getattr(layer.lstm, k).detach().double() for k in KEYS}
            values["weight_ih"], values["bias_ih"] = _fold(
                layer.norm, values["weight_ih"], values["bias_ih"]
            )
            arrays |= {f"{name}.{key}": _array(value) for key, value in values.items()}
        if "transducer" in self.specification.decoders:
            arrays["prediction.embedding"] = _array(self.embedding.weight)
        for name, linear in self._linear_layers().items():
            norm = self.joint_norm if linear is self.joint_encoder else None
            weight, bias = _fold(
                norm, linear.weight.detach().double(), linear.bias.detach().double()
            )
            arrays[f"{name}.weight"], arrays[f"{name}.bias"] = _array(weight), _array(bias)
        return arrays

    @classmethod
    def from_network(cls, network: Network, *, normalised: bool = False) -> Transducer:
        """Build the module, in evaluation mode, that computes a network.

        Args:
            normalised: whether its layers normalise their inputs, by the identity.
        """
        module = cls(network.specification, normalised=normalised)
        arrays = {name: torch.from_numpy(value.copy()) for name, value in network.arrays.items()}
        with torch.no_grad():
            for norm in module.modules():
                if isinstance(norm, InputNorm):
                    norm.variance.fill_(1.0 - norm.epsilon)
            for name, layer in module._named_layers():
                for key in KEYS:
                    getattr(layer.lstm, key).copy_(arrays[f"{name}.{key}"])
            if "transducer" in module.specification.decoders:
                module.embedding.weight.copy_(arrays["prediction.embedding"])
            for name, linear in module._linear_layers().items():
                linear.weight.copy_(arrays[f"{name}.weight"])
                linear.bias.copy_(arrays[f"{name}.bias"])
        return module.eval()

    def _named_layers(self) -> Iterator[tuple[str, Layer]]:
        for name, stack in (
            ("encoder.pre", self.pre),
            ("encoder.post", self.post),
            ("prediction.lstm", self.prediction),
        ):
            for n, layer in enumerate(stack):
                yield f"{name}.{n}", cast(Layer, layer)

    def _linear_layers(self) -> dict[str, nn.Linear]:
        """Return the linear layers by the names of their arrays."""
        layers = {"joint.encoder": self.joint_encoder}
        if "transducer" in self.specification.decoders:
            layers |= {"joint.prediction": self.joint_prediction, "joint.output": self.output}
        if "ctc" in self.specification.decoders:
            layers["ctc"] = self.ctc
        return layers

    def _layers(self) -> Iterator[Layer]:
        return (layer for _, layer in self._named_layers())


# Brevitas takes seconds to import, and only a quantised model needs it.
def _lstm(spec: Specification, name: str, inputs: int, hidden: int, dropout: float) -> LSTM:
    if spec.number_format == "bfp16":
        return BlockFloatingLSTM(inputs, hidden, spec.activation)
    if spec.quantisation is None:
        return LSTM(inputs, hidden, spec.activation, dropout)
    from train.encoders.integer_lstm import QuantisedLSTM

    return QuantisedLSTM(name, inputs, hidden, spec.quantisation.bits(name))


def _linear(spec: Specification, name: str, inputs: int, outputs: int) -> nn.Linear:
    if spec.quantisation is None:
        return nn.Linear(inputs, outputs)
    from train.encoders.quantisers import Linear, Logits

    kind = Logits if name == "joint.output" else Linear
    return kind(name, inputs, outputs, spec.quantisation.bits(name), spec.quantisation.joint)


def _run(
    layers: nn.ModuleList,
    x: Tensor,
    state: State,
    mask: Tensor | None,
    exponent: int = HIDDEN_EXPONENT,
) -> tuple[Tensor, State]:
    """Run a stack of layers over x, whose exponent is given where they are quantised."""
    after = []
    for layer, before in zip(layers, state, strict=True):
        x, new = cast(Layer, layer).step(x, before, mask, exponent)
        exponent = HIDDEN_EXPONENT
        after.append(new)
    return x, tuple(after)


def _fold(norm: nn.Module | None, weight: Tensor, bias: Tensor) -> tuple[Tensor, Tensor]:
    if norm is None:
        return weight, bias
    scale, shift = (v.double() for v in cast(InputNorm, norm).affine())
    return weight * scale, bias + weight @ shift


def _array(value: Tensor) -> NDArray[np.float32]:
    return value.detach().float().cpu().numpy().copy()
