"""Exponentially averaged weights (NUMERICS 5.4)."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class Ema:
    """Exponentially averaged weights: e = d e + (1 - d) w after every update, from the first on.

    Every floating tensor of the module's state is averaged, the statistics of its normalisation too:
    averaged weights need averaged statistics.
    """

    def __init__(self, module: nn.Module, decay: float) -> None:
        self.decay = decay
        self._average = {name: value.clone() for name, value in module.state_dict().items()}

    @torch.no_grad()
    def update(self, module: nn.Module) -> None:
        """Move the average towards the module's present state."""
        for name, value in module.state_dict().items():
            self._average[name].lerp_(value, 1.0 - self.decay)

    def state_dict(self) -> dict[str, Tensor]:
        """Return the averaged state, as the module's `load_state_dict` takes it."""
        return self._average

    def load_state_dict(self, state: dict[str, Tensor]) -> None:
        """Go on from an averaged state."""
        for name, value in state.items():
            self._average[name] = value.to(self._average[name].device, copy=True)
