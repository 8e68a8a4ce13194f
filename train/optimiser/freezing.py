"""Weights that do not learn, for a while or to the end."""

from __future__ import annotations

from collections.abc import Mapping

from torch import nn

from train.config.duration import updates_in
from train.config.run import Config, ConfigError
from train.encoders.input_norm import InputNorm
from train.optimiser.weights import check_keys, covering, name_of, named_weights


class Freezing:
    """What is frozen in which update.

    Frozen weights have no gradient, and the normalisations of a frozen part keep their statistics.

    Args:
        objective: the loss with its model.
        until: the update, from 1, in which a part begins to learn; None: it never does.
        norms_from: the update from which every normalisation keeps its statistics; None: none.
    Raises:
        ConfigError: the model has no such part, or no part that learns.
    """

    def __init__(
        self, objective: nn.Module, until: Mapping[str, int | None], norms_from: int | None
    ) -> None:
        self._norms_from = norms_from
        weights = named_weights(objective)
        check_keys("optimiser.freeze", until, weights)
        self._weights = [(weight, covering(until, name, 0)) for name, weight in weights.items()]
        self._norms = [
            (module, covering(until, name_of(name), 0))
            for name, module in objective.named_modules()
            if isinstance(module, InputNorm)
        ]
        if all(end is None for _, end in self._weights):
            raise ConfigError("optimiser.freeze: no weight of the model is left to learn")

    @classmethod
    def of(cls, objective: nn.Module, config: Config, epoch: int) -> Freezing:
        """Return what a configuration freezes in a run whose epoch has so many updates."""
        until: dict[str, int | None] = dict.fromkeys(config.optimiser.freeze)
        for part, duration in config.optimiser.freeze_until.items():
            until[part] = updates_in(duration, epoch)
        return cls(objective, until, config.freeze_norms_from)

    def release(self) -> None:
        """Let every part that would begin to learn later learn from now on."""
        self._weights = [(weight, None if end is None else 0) for weight, end in self._weights]
        self._norms = [(norm, None if end is None else 0) for norm, end in self._norms]

    def apply(self, update: int) -> None:
        """Freeze and release for an update."""
        for weight, end in self._weights:
            weight.requires_grad_(not _frozen(update, end))
        for norm, end in self._norms:
            late = self._norms_from is not None and update >= self._norms_from
            norm.frozen = late or _frozen(update, end)


def _frozen(update: int, end: int | None) -> bool:
    return end is None or update < end
