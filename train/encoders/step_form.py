"""The training form of any family: its own `step`, with parameters for arrays, under autograd."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from stream.encoders.family import Encoder
from stream.prediction.family import Prediction
from stream.stage import State, map_state
from train.encoders.input_norm import InputNorm


class StepForm(nn.Module):
    """An encoder or a prediction network that trains through `step`.

    Args:
        family: that computes.
        shapes: of its arrays.
    Attributes:
        output_norm: normalisation of the output, which the next layer folds in; None: there is none.
    """

    def __init__(self, family: Encoder | Prediction, shapes: Mapping[str, tuple[int, ...]]) -> None:
        super().__init__()
        self.family, self._names = family, tuple(shapes)
        self.output_norm: InputNorm | None = None
        for name, shape in shapes.items():
            self.register_parameter(_key(name), nn.Parameter(torch.zeros(shape)))

    def initialise(self, generator: torch.Generator) -> None:
        """Draw the arrays of two axes and more from U(-b, b), b = 1/sqrt(inputs of an output).

        Of those of one axis a "scale" becomes 1, any other 0. The embedding is drawn from N(0, 1).
        """
        with torch.no_grad():
            for name, parameter in self._parameters_by_name().items():
                if name.endswith(".embedding"):
                    parameter.normal_(generator=generator)
                elif parameter.ndim > 1:
                    bound = math.prod(parameter.shape[1:]) ** -0.5
                    parameter.uniform_(-bound, bound, generator=generator)
                else:
                    parameter.fill_(float(name.endswith("scale")))

    def initial_state(self, batch: int) -> State:
        """Return the family's initial state as tensors."""
        like = next(self.parameters())

        def tensor(leaf: Any) -> Tensor:
            value = torch.from_numpy(leaf)
            return value.to(like.device, like.dtype if value.is_floating_point() else None)

        return map_state(tensor, self.family.initial_state(batch))

    def step(self, x: Tensor, state: State, *present: Tensor | None) -> tuple[Tensor, State]:
        """Run the family's `step` over x: input frames and which are present, or tokens."""
        arrays = self.family.prepare(self._parameters_by_name())
        if x.is_floating_point():
            x = x.to(next(self.parameters()).dtype)
        return self.family.step(arrays, x, state, *present)

    def arrays(self) -> dict[str, Tensor]:
        """Return the arrays by name, float64."""
        return {n: p.detach().double() for n, p in self._parameters_by_name().items()}

    def load(self, arrays: Mapping[str, Tensor]) -> None:
        """Take arrays by name."""
        with torch.no_grad():
            for name, parameter in self._parameters_by_name().items():
                parameter.copy_(arrays[name])

    def _parameters_by_name(self) -> dict[str, nn.Parameter]:
        return {name: self.get_parameter(_key(name)) for name in self._names}


def _key(name: str) -> str:
    """Return the name of a parameter; torch does not allow dots in it."""
    return name.replace(".", "-")
