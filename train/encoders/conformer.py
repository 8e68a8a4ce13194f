"""The training form of the Conformer: its own `advance_by` with torch's functions, dropout, and drawn chunks.

Each batch is learned with chunks of one of the lengths that the model is for, drawn evenly, so that one
model serves all of them. In evaluation mode the chunk is the specification's.
"""

from __future__ import annotations

import math
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from stream.encoders.conformer import Conformer
from stream.encoders.family import appended
from stream.encoders.operations import EPSILON, Operations, known
from stream.model.specification import Specification
from stream.stage import State
from train.config.learning import Dropout
from train.encoders.input_norm import InputNorm
from train.encoders.step_form import StepForm

DT = (0.001, 0.1)  # least and largest step at the start, of Mamba-2 (Dao and Gu, 2024)
DECAY = (1.0, 16.0)  # the same of decays


class TorchOperations(Operations):
    """The operations by torch's own functions.

    Args:
        dropout: probability of dropping a value of a branch.
    """

    def __init__(self, dropout: float) -> None:
        self._dropout = dropout

    def silu(self, x: Tensor) -> Tensor:
        return functional.silu(x)

    def glu(self, x: Tensor) -> Tensor:
        return functional.glu(x)

    def swiglu(self, x: Tensor) -> Tensor:
        gate, value = x.chunk(2, -1)
        return functional.silu(gate) * value

    def drop(self, x: Tensor) -> Tensor:
        return functional.dropout(x, self._dropout)

    def normalise(self, x: Tensor, scale: Tensor, bias: Tensor | None) -> Tensor:
        if bias is None:
            return functional.rms_norm(x, scale.shape, scale, EPSILON)
        return functional.layer_norm(x, scale.shape, scale, bias, EPSILON)

    def depthwise(self, frames: Tensor, weight: Tensor) -> Tensor:
        y = functional.conv1d(frames.mT, weight[:, None], groups=len(weight))
        return y.mT

    def convolve(self, frames: Tensor, weight: Tensor, stride: int) -> Tensor:
        channels_first = frames.permute(0, 3, 1, 2)
        y = functional.conv2d(channels_first, weight, stride=(stride, 2), padding=(0, 1))
        return y.permute(0, 2, 3, 1)

    def attend(self, queries: Tensor, keys: Tensor, values: Tensor, seen: Tensor) -> Tensor:
        *front, block, heads, size = queries.shape
        flat = (queries * size**-0.5).reshape(*front, block * heads, size)
        scores = (flat @ keys.mT).unflatten(-2, (block, heads))
        scores = scores.masked_fill(~seen, torch.finfo(scores.dtype).min)
        weights = scores.softmax(-1).flatten(-3, -2)
        y: Tensor = (weights @ known(values)).view_as(queries)
        return y.masked_fill(~seen.any(-1, keepdim=True), 0.0)


SILU_GAIN = 1.68  # by which weights keep the power of unit noise behind a SiLU


class ConformerEncoder(StepForm):
    """The encoder `stream.encoders.conformer.Conformer`.

    Args:
        specification: of the model.
        normalised: whether its output is normalised, over frames and rows. The norms of the family leave in
            place what all frames share, and heads that learn blanks first fill the frames with it.
        dropout: `encoder` is that of every branch.
    Attributes:
        output_norm: normalisation of the output, which the joint folds in; None: there is none.
    """

    def __init__(self, specification: Specification, *, normalised: bool, dropout: Dropout) -> None:
        self.sizes = cast(Conformer, specification.encoder)
        super().__init__(self.sizes, self.sizes.shapes())
        self.output_norm = InputNorm(self.sizes.size) if normalised else None
        self._training, self._evaluation = TorchOperations(dropout.encoder), TorchOperations(0.0)

    def initialise(self, generator: torch.Generator) -> None:
        """Draw the weights as `StepForm` does.

        Those at the end of a branch are smaller by the root of the number of layers, and those of the
        subsampling as large as it takes for frames of unit power: beside smaller ones what the branches of the
        first layer add, soon a constant, is all that the others see, and nothing is learned. Mamba-2 begins with
        steps and decays spread evenly, in their logarithms and as they are.
        """
        super().initialise(generator)
        with torch.no_grad():
            for name, parameter in self._parameters_by_name().items():
                if "subsampling" in name and name.endswith(".weight"):
                    first = name.endswith(".0.weight")
                    parameter.mul_(math.sqrt(3.0) * (1.0 if first else SILU_GAIN))
                elif name.endswith(".output.weight"):
                    parameter.mul_(self.sizes.depth**-0.5)
                elif name.endswith(".dt_bias"):
                    low, high = map(math.log, DT)
                    dt = parameter.uniform_(low, high, generator=generator).exp()
                    parameter.copy_(dt + torch.log(-torch.expm1(-dt)))  # softplus undone
                elif name.endswith(".decay"):
                    parameter.uniform_(*DECAY, generator=generator).log_()

    def step(self, x: Tensor, state: State, *present: Tensor | None) -> tuple[Tensor, State]:
        """Encode input frames; see `stream.encoders.family`."""
        if not x.shape[1]:
            return super().step(x, state, *present)
        x = x.to(next(self.parameters()).dtype)
        mask = present[0] if present else None
        if not self.training:
            return self._step(self.sizes, self._evaluation, x, state, mask)
        lengths = self.sizes.chunk_lengths
        sizes = self.sizes.with_chunk(lengths[int(torch.randint(len(lengths), ()))])
        missing = -x.shape[1] % sizes.chunk_inputs
        if mask is None:
            mask = torch.ones(x.shape[:2], dtype=torch.bool, device=x.device)
        padded = nn.functional.pad(x, (0, 0, 0, missing))
        mask = nn.functional.pad(mask, (0, missing))
        y, state = self._step(sizes, self._training, padded, state, mask)
        return y[:, : x.shape[1] // self.sizes.subsampling], state

    def _step(
        self,
        sizes: Conformer,
        operations: Operations,
        x: Tensor,
        state: State,
        present: Tensor | None,
    ) -> tuple[Tensor, State]:
        y, new = sizes.advance_by(operations, self._parameters_by_name(), x, state, present)
        if self.output_norm is not None:
            y = self.output_norm(y, None if present is None else present[:, :: sizes.subsampling])
        return y, appended(sizes.caches, state, new)
