"""Chains of updates whose rows go on from one to the next, as those of a stream do.

1. From `start` on, updates are divided into chains; how long one is, is drawn by `weights`.
2. A chain never goes over an update after which a checkpoint is written, so a run that resumes there needs no
   state of the one before, and trains what it would have trained.
3. The chain of an update is a function of the seed and of its number.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

STREAM = 7  # of the seed's generators


@dataclass(frozen=True)
class Chains:
    """The chains of a run.

    Attributes:
        weights: how often a chain has 1, 2, 3 and so on updates, relative to each other.
        start: the first update of a chain of more than one.
        saves: whether a checkpoint is written after an update.
        seed: of the lengths.
    """

    weights: Sequence[float]
    start: int
    saves: Callable[[int], bool]
    seed: int

    def continues(self, update: int) -> bool:
        """Return whether the rows of an update go on from those of the update before."""
        return self._place(update) > 0

    def is_continued(self, update: int) -> bool:
        """Return whether the next update goes on from an update."""
        return self.continues(update + 1)

    def _place(self, update: int) -> int:
        """Return how many updates of its chain are before an update."""
        if len(self.weights) == 1 or update <= self.start:
            return 0
        first = update
        while first > self.start and not self.saves(first - 1):
            first -= 1
        shares = np.cumsum(self.weights) / np.sum(self.weights)
        rng = np.random.Generator(np.random.Philox(key=[self.seed * 16 + STREAM, first]))
        lengths = 1 + np.searchsorted(shares, rng.random(update - first + 1), "right")
        begins = np.concatenate([[0], np.cumsum(lengths)])
        return int(update - first - begins[begins <= update - first][-1])
