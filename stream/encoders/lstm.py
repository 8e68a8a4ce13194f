"""The LSTM encoder: layers over stacked frames, pairs of these joined, layers over the pairs.

NUMERICS 3.1: log-mel frames stacked by 3 (30 ms) -> `encoder.pre` -> joined in pairs (60 ms) ->
`encoder.post`. Arrays, H hidden, I inputs of a layer (2 H after the pairs):

    encoder.pre.N.{weight_ih, weight_hh, bias_ih, bias_hh}    (4H, I), (4H, H), (4H,), (4H,)
    encoder.post.N.…

State: ((h, c) of each layer before the pairs, (h, c) of each layer after them), (batch, H) each.
"""

from __future__ import annotations

import math

import msgspec

from stream.encoders.family import Arrays, Encoder
from stream.encoders.lstm_layer import (
    Activation,
    NumberFormat,
    initial_state,
    layer_shapes,
    prepare_layers,
    step_layers,
)
from stream.front_end.log_mel import BINS, HOP
from stream.front_end.stacking import STACK, join_pairs
from stream.stage import Array, State

PAIR = 2  # stacked frames that are joined: 30 ms -> 60 ms


class LSTM(
    Encoder, msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag="lstm", tag_field="family"
):
    """The LSTM encoder.

    Attributes:
        pre_layers, post_layers: layers before and after the pairs.
        hidden: units of a layer.
        activation: of all layers.
        number_format: of all layers.
    """

    pre_layers: int = 2
    post_layers: int = 2
    hidden: int = 256
    activation: Activation = "hard"
    number_format: NumberFormat = "float32"

    stack = STACK
    chunk_samples = frame_samples = HOP * STACK * PAIR

    def __post_init__(self) -> None:
        for name in ("pre_layers", "post_layers", "hidden"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} is {getattr(self, name)}, wants at least 1")

    @property
    def size(self) -> int:
        """The size of an encoder frame."""
        return self.hidden

    @property
    def stacks(self) -> tuple[tuple[str, int, int], ...]:
        """The name, the number of layers and the inputs of each stack of layers."""
        return (
            ("encoder.pre", self.pre_layers, STACK * BINS),
            ("encoder.post", self.post_layers, PAIR * self.hidden),
        )

    @property
    def macs_a_second(self) -> float:
        shapes = self.shapes().items()
        before = sum(math.prod(s) for name, s in shapes if ".pre." in name and len(s) > 1)
        return super().macs_a_second + before * (PAIR - 1) / self.frame_seconds

    def shapes(self) -> dict[str, tuple[int, ...]]:
        return {
            name: shape
            for stack, layers, inputs in self.stacks
            for name, shape in layer_shapes(stack, layers, inputs, self.hidden).items()
        }

    def layers(self) -> tuple[str, ...]:
        return tuple(f"{stack}.{n}" for stack, layers, _ in self.stacks for n in range(layers))

    def prepare(self, arrays: Arrays) -> Arrays:
        """Return arrays laid out and rounded for `step`."""
        return prepare_layers(arrays, self.layers(), self.number_format)

    def initial_state(self, batch: int) -> State:
        """Return zeros."""
        return tuple(
            tuple(initial_state(batch, self.hidden) for _ in range(layers))
            for _, layers, _ in self.stacks
        )

    def step(
        self, arrays: Arrays, x: Array, state: State, present: Array | None = None
    ) -> tuple[Array, State]:
        """Encode stacked frames, (batch, 2 n, 240) -> (batch, n, hidden)."""
        pre, post = ([f"{stack}.{n}" for n in range(layers)] for stack, layers, _ in self.stacks)
        h, before = step_layers(arrays, pre, x, state[0], self.activation, self.number_format)
        h, behind = step_layers(
            arrays,
            post,
            join_pairs(h, present),
            state[1],
            self.activation,
            self.number_format,
        )
        return h, (before, behind)
