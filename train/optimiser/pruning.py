"""Pruning: weights that become zero in training, as many in each bank of a row, and stay so.

Every row of a matrix has the same number of weights in each bank, a run of neighbouring columns, as in bank-balanced
sparsity (Cao et al., FPGA 2019). So lanes that each compute a row, and read the inputs of a bank together, are done
with it at the same time, and each chooses its inputs by a few bits: docs/rtl.md.

A weight that is zero stays zero, and a bank that has too many others loses the smallest of them. Both are functions
of the weights and of the update's number, so a checkpoint has no mask: the zeros are the mask.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from train.config.duration import updates_in
from train.config.pruning import PruningConfig
from train.config.run import ConfigError
from train.optimiser.weights import check_keys, covering

# No row of these is multiplied by inputs side by side: a table, filters, and a kernel for each channel.
OTHERS = re.compile(r"prediction\.embedding|front_end\..*|.*\.depthwise\.weight")


class Pruning:
    """The zeros of a model in training.

    Args:
        weights: of an `Objective`, by name.
        config: which of them, and how many.
        epoch: updates in an epoch.
    Attributes:
        end: the update after which no further weight becomes zero.
    Raises:
        ConfigError: a part is not there or has no matrix, or a row of it cannot be divided into banks.
    """

    def __init__(
        self, weights: Mapping[str, nn.Parameter], config: PruningConfig, epoch: int
    ) -> None:
        self._config = config
        self._start, self._ramp = (updates_in(d, epoch) for d in (config.start, config.ramp))
        self.end = self._start + self._ramp
        self._weights: dict[str, nn.Parameter] = {}
        if config.share == 1.0:
            self.end = 0
            return
        check_keys("pruning.parts", config.parts, weights)
        pruned = dict.fromkeys(config.parts, True)
        self._weights = {
            name: weight
            for name, weight in weights.items()
            if weight.ndim == 2 and covering(pruned, name, False) and not OTHERS.fullmatch(name)
        }
        if not self._weights:
            raise ConfigError(f"pruning.parts: {', '.join(config.parts)}: no matrix to prune")
        for name, weight in self._weights.items():
            if (columns := weight.shape[1]) % config.bank:
                raise ConfigError(
                    f"pruning.bank is {config.bank}, and rows of {name} have {columns} weights: choose a "
                    "divisor of it, or pruning.parts without it"
                )

    def kept(self, update: int) -> int:
        """Return how many weights of a bank are left after an update.

        The share of zeros rises along 1 - (1 - t)^3, fast at first, when there is most to lose
        (Zhu and Gupta, arXiv 1710.01878).
        """
        if update < self._start:
            return self._config.bank
        t = min((update - self._start) / self._ramp, 1.0) if self._ramp else 1.0
        return self._config.bank - int((self._config.bank - self._config.kept) * (1 - (1 - t) ** 3))

    def masks(self) -> dict[str, Tensor]:
        """Return where weights are not zero, by name."""
        return {name: weight.detach() != 0.0 for name, weight in self._weights.items()}

    @torch.no_grad()
    def prune(self, update: int, before: Mapping[str, Tensor]) -> None:
        """Set to zero, after an update, what was zero before it, and what its bank has too many of.

        Args:
            before: `masks` before it.
        """
        kept = self.kept(update)
        for name, mask in before.items():
            weight = self._weights[name]
            weight.mul_(mask)
            banks = weight.view(-1, self._config.bank)
            if kept < self._config.bank and bool((banks.count_nonzero(1) > kept).any()):
                largest = banks.abs().topk(kept, dim=1).indices
                banks.mul_(torch.zeros_like(banks).scatter_(1, largest, 1.0))

    @torch.no_grad()
    def zero(self, averaged: Mapping[str, Tensor], model: nn.Module) -> None:
        """Set averaged weights to zero where the weights are.

        Args:
            averaged: by the names of the model's state.
        """
        pruned = {id(weight) for weight in self._weights.values()}
        for name, weight in model.state_dict(keep_vars=True).items():
            if id(weight) in pruned:
                averaged[name].mul_(weight.detach() != 0.0)

    def notes(self) -> dict[str, Any]:
        """Return what the notes of a model say of its zeros: how many, and the SHA-256 of where they are."""
        if not self._weights:
            return {}
        digest = hashlib.sha256()
        zeros: dict[str, float] = {}
        for name, mask in self.masks().items():
            digest.update(mask.cpu().numpy().tobytes())
            zeros[name] = round(1.0 - float(mask.float().mean()), 4)
        bank = self._config.bank
        return {"pruned": {"bank": bank, "zeros": zeros, "mask_sha256": digest.hexdigest()}}
