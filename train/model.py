"""The transducer as a torch module: built from a specification or a `Network`, folded into one.

Input frames (B, S, inputs) -> f (B, E, J), and tokens (B, U) -> g (B, U + 1, J), both projected to the joint
size; the joint itself is in the loss (`train.loss.transducer`) and in the decoder. Encoder and prediction
network are the training forms of their families (`train.encoders`, `train.prediction`).
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from dataclasses import replace
from typing import Any, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from stream.front_end.filterbank import MEL
from stream.front_end.log_mel import FrontEnd
from stream.model.network import Network
from stream.model.specification import Specification
from stream.stage import State
from train.config.learning import Dropout
from train.encoders import encoder_form
from train.encoders.input_norm import InputNorm
from train.encoders.lstm import fold
from train.mel import LearnedMel
from train.prediction import prediction_form

# Names in checkpoints are those from before there were families: (in checkpoints, in the module).
RENAMED = (
    (r"^(pre|post)\.", r"encoder.\1."),
    (r"^joint_norm\.", "encoder.output_norm."),
    (r"^prediction\.(?=\d)", "prediction.layers."),
    (r"^embedding\.", "prediction.embedding."),
)
WRITTEN = (
    (r"^encoder\.(pre|post)\.", r"\1."),
    (r"^encoder\.output_norm\.", "joint_norm."),
    (r"^prediction\.layers\.", "prediction."),
    (r"^prediction\.embedding\.", "embedding."),
)


def lengths_to_mask(lengths: Tensor, count: int) -> Tensor:
    """Return (B, count) bool, True before each row's length."""
    return torch.arange(count, device=lengths.device)[None, :] < lengths[:, None]


@torch.no_grad()
def expect_blanks(layer: nn.Linear, blank: int, prior: float) -> None:
    """Set the bias of an output layer such that a blank has about this probability, whatever the frame."""
    others = layer.out_features - 1
    layer.bias[blank] = math.log(others * prior / (1.0 - prior))


class Transducer(nn.Module):
    """Encoder and prediction network with the joint's linear layers, and a CTC head where there is one.

    A model that decodes with CTC alone has no prediction network and no joint: `prediction` is None, and
    `joint_prediction` and `output` are not there, as `ctc` is not where there is no CTC head. `mel` is None where
    the filters of the front end are fixed.

    Args:
        specification: sizes, activation, number format and quantisation.
        normalised: whether layers normalise their inputs; False for a model read from a `Network`,
            and for one whose weights are rounded.
        dropout: the probabilities while training.
    """

    prediction: Any  # or None
    joint_prediction: nn.Linear
    output: nn.Linear
    ctc: nn.Linear

    def __init__(
        self, specification: Specification, *, normalised: bool, dropout: Dropout | None = None
    ) -> None:
        super().__init__()
        self.specification = spec = specification
        transduces = "transducer" in spec.heads
        drop = dropout or Dropout(0.0, 0.0, 0.0, 0.0)
        if spec.rounded and (normalised or drop.recurrent):
            raise ValueError(
                f"a model in integers or in block floating point wants normalised = False and "
                f"dropout.recurrent = 0, not {normalised} and {drop.recurrent}: both change weights "
                "that are rounded"
            )

        learned = spec.front_end.learned
        self.mel = LearnedMel(spec.front_end.spectrum) if learned else None
        self.encoder = encoder_form(spec, normalised=normalised, dropout=drop)
        self.prediction = prediction_form(spec, drop) if transduces else None
        self.encoder_dropout = nn.Dropout(drop.encoder)
        self.prediction_dropout = nn.Dropout(drop.prediction)
        self.joint_dropout = drop.joint
        self.token_dropout = drop.tokens
        self.joint_encoder = _linear(spec, "joint.encoder", spec.encoder.size, spec.joint)
        if transduces:
            self.joint_prediction = _linear(
                spec, "joint.prediction", spec.prediction.size, spec.joint
            )
            self.output = _linear(spec, "joint.output", spec.joint, spec.vocabulary + 1)
        if "ctc" in spec.heads:
            self.ctc = nn.Linear(spec.joint, spec.vocabulary + 1)
        self.register_state_dict_post_hook(_written)  # type: ignore[no-untyped-call]
        self.register_load_state_dict_pre_hook(_read)  # type: ignore[no-untyped-call]

    def project(self) -> None:
        """Move weights that have bounds back into them, after an update."""
        if self.mel is not None:
            self.mel.project()

    def initialise(self, generator: torch.Generator, blank_prior: float = 0.0) -> None:
        """Draw all weights (NUMERICS 3.4, generation 1.14: effective forget bias 1).

        Args:
            blank_prior: probability of a blank that the output layers begin with; 0: as they are drawn.
        """
        self.encoder.initialise(generator)
        if self.prediction is not None:
            self.prediction.initialise(generator)
        with torch.no_grad():
            for linear in self._linear_layers().values():
                bound = linear.in_features**-0.5
                linear.weight.uniform_(-bound, bound, generator=generator)
                linear.bias.uniform_(-bound, bound, generator=generator)
        if blank_prior:
            for name, linear in self._linear_layers().items():
                if name in ("joint.output", "ctc"):
                    expect_blanks(linear, self.specification.blank, blank_prior)

    @property
    def front_end(self) -> FrontEnd:
        """The front end; filters that are learned are in the graph of their gradient."""
        front_end = self.specification.front_end
        return front_end if self.mel is None else replace(front_end, mel=self.mel())

    def initial_state(self, batch: int) -> tuple[State, State]:
        """Return the states of encoder and prediction network at the start of a stream."""
        prediction = () if self.prediction is None else self.prediction.initial_state(batch)
        return self.encoder.initial_state(batch), prediction

    def encode(
        self, x: Tensor, state: State, present: Tensor | None = None
    ) -> tuple[Tensor, State]:
        """Encode input frames.

        Args:
            x: (B, S, inputs) normalised, whole chunks.
            state: of the encoder.
            present: (B, S) bool; False where a frame lies past the end of its row.
        Returns:
            f, (B, E, J), and the state after the last frame.
        """
        h, state = self.encoder.step(x, state, present)
        f: Tensor = self.joint_encoder(self.encoder_dropout(h))
        return f, state

    def predict(self, tokens: Tensor, state: State) -> tuple[Tensor, State]:
        """Run the prediction network over tokens (B, U), blank standing for start of sequence.

        Returns:
            g, (B, U, J), and the state after the last token.
        """
        h, state = self.prediction.step(tokens, state)
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

    def forward(self, x: Tensor, lengths: Tensor, tokens: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Encode whole utterances and predict after every prefix of their tokens.

        Args:
            x: (B, S, inputs) input frames, whole chunks; what lies past a row's length has no
                influence.
            lengths: (B,) input frames of each row.
            tokens: (B, U) padded with any of the ids.
        Returns:
            f (B, E, J), g (B, U + 1, J), and the encoder frames of each row, (B,).
        """
        f, steps = self.encode_rows(x, lengths)
        return f, self.predict_prefixes(tokens), steps

    def encode_rows(
        self, x: Tensor, lengths: Tensor, state: State | None = None
    ) -> tuple[Tensor, Tensor]:
        """Encode whole utterances; returns f and the encoder frames of each row, as `forward`.

        Args:
            state: of the encoder, from which the rows go on; None: they begin.
        """
        if state is None:
            state, _ = self.initial_state(len(x))
        f, _ = self.encode(x, state, lengths_to_mask(lengths, x.shape[1]))
        return f, self.specification.encoder.frames(lengths)

    def predict_prefixes(
        self, tokens: Tensor, start: Tensor | None = None, state: State | None = None
    ) -> Tensor:
        """Predict after every prefix of tokens; returns g, as `forward`.

        Args:
            start: (B,) the tokens before, and state: before these, from which the rows go on; None: they
                begin.
        """
        if start is None or state is None:
            _, state = self.initial_state(len(tokens))
            start = tokens.new_full((len(tokens),), self.specification.blank)
        if self.training and self.token_dropout:
            wrong = torch.rand(tokens.shape, device=tokens.device) < self.token_dropout
            tokens = torch.where(
                wrong, torch.randint_like(tokens, self.specification.vocabulary), tokens
            )
        g, _ = self.predict(torch.cat([start[:, None], tokens], dim=1), state)
        return g

    def encoder_parameters(self) -> Iterator[nn.Parameter]:
        """Yield the weights of the encoder."""
        yield from self.encoder.parameters()

    def arrays(self) -> dict[str, NDArray[np.float32]]:
        """Return the arrays of a `Network`, statistics aside, with the normalisation folded in."""
        arrays: dict[str, Tensor] = {} if self.mel is None else {MEL: self.mel().detach()}
        arrays |= self.encoder.arrays()
        if self.prediction is not None:
            arrays |= self.prediction.arrays()
        for name, linear in self._linear_layers().items():
            norm = self.encoder.output_norm if linear is self.joint_encoder else None
            arrays[f"{name}.weight"], arrays[f"{name}.bias"] = fold(
                norm, linear.weight.detach().double(), linear.bias.detach().double()
            )
        return {name: array.float().cpu().numpy().copy() for name, array in arrays.items()}

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
            if module.mel is not None:
                module.mel.load(arrays[MEL])
            module.encoder.load(arrays)
            if module.prediction is not None:
                module.prediction.load(arrays)
            for name, linear in module._linear_layers().items():
                linear.weight.copy_(arrays[f"{name}.weight"])
                linear.bias.copy_(arrays[f"{name}.bias"])
        return module.eval()

    def _linear_layers(self) -> dict[str, nn.Linear]:
        """Return the linear layers by the names of their arrays."""
        layers = {"joint.encoder": self.joint_encoder}
        if "transducer" in self.specification.heads:
            layers |= {"joint.prediction": self.joint_prediction, "joint.output": self.output}
        if "ctc" in self.specification.heads:
            layers["ctc"] = self.ctc
        return layers


def _linear(spec: Specification, name: str, inputs: int, outputs: int) -> nn.Linear:
    if spec.quantisation is None:
        return nn.Linear(inputs, outputs)
    from train.encoders.quantisers import Linear, Logits

    kind = Logits if name == "joint.output" else Linear
    return kind(name, inputs, outputs, spec.quantisation.bits(name), spec.quantisation.joint)


def _written(_: nn.Module, state: dict[str, Any], prefix: str, metadata: Any) -> None:
    """Rename the entries of a state to the names that checkpoints have."""
    _rename(state, prefix, WRITTEN)


def _read(_: nn.Module, state: dict[str, Any], prefix: str, *rest: Any) -> None:
    """Rename the entries of a checkpoint's state to the module's names."""
    _rename(state, prefix, RENAMED)


def _rename(state: dict[str, Any], prefix: str, names: tuple[tuple[str, str], ...]) -> None:
    for key in [key for key in state if key.startswith(prefix)]:
        name = key.removeprefix(prefix)
        for pattern, replacement in names:
            name = re.sub(pattern, replacement, name)
        state[prefix + name] = state.pop(key)
