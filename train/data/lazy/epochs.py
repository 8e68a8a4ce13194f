"""Batches of clips that come in epochs: every utterance of the data sets once, in an order of its own.

A joined batch makes its rows of the utterances that are due, and fills them with any others.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from train.config.batches import BatchConfig
from train.data.batches import Chosen
from train.data.curriculum import (
    Joining,
    check_joins,
    check_short,
    check_splices,
    join_probability,
)
from train.data.lazy.index import Index
from train.data.lazy.sampler import Sampler
from train.data.rows import Place


class Epochs:
    """The choice of a batch's clips, epoch by epoch.

    Args:
        indexes: of the data sets.
        weights: how often an utterance of each comes in an epoch.
        config: of the batches.
        gap_seconds: most silence between the clips of a row.
        seed: of the order.
        min_seconds, max_seconds: of the utterances that are taken.

    Attributes:
        sampler: of all these utterances.

    Raises:
        ValueError: none is left, or the configuration does not fit the data sets.
    """

    def __init__(
        self,
        indexes: Sequence[Index],
        weights: Sequence[float],
        config: BatchConfig,
        gap_seconds: float,
        seed: int,
        min_seconds: float = 0.0,
        max_seconds: float = math.inf,
    ) -> None:
        def sampler(longest: float) -> Sampler:
            return Sampler(
                indexes, weights, config.seconds, seed, min_seconds, longest, config.weights
            )

        if config.balance:
            raise ValueError(
                f"batches.balance is {config.balance}: an index does not know how often words occur. "
                'Set it to 0, or data.cache to "memory"'
            )
        self.config, self._gap_seconds = config, gap_seconds
        self.sampler = self._early = sampler(max_seconds)
        if config.short_seconds is not None and config.join_from > 0:
            count, share = self.sampler.up_to(config.short_seconds)
            check_short(config, share, count, len(self.sampler))
            self._early = sampler(min(config.short_seconds, max_seconds))
        if config.join:
            check_joins(config, self.sampler.up_to(config.join_seconds / 2)[1])
            check_splices(config, sum(index.about.timed for index in indexes))

    @property
    def epoch(self) -> int:
        """Batches that hold each utterance once."""
        return self.sampler.epoch

    def choose(self, number: int, update: int, rng: np.random.Generator) -> Chosen:
        """Return the clips of a batch."""
        sampler = self._early if update < self.config.join_from else self.sampler
        due = sampler.batch(number)
        if self.config.join and rng.random() < join_probability(self.config, update):
            return self._joined(due, rng)
        return Chosen([[place] for place in due])

    def seconds(self, place: Place) -> float:
        """Return the duration of a clip, as its data set says."""
        return self.sampler.seconds(place)

    def voice(self, batch: Sequence[Place], rng: np.random.Generator) -> Place:
        """Draw a clip that talks in the background of another: one of the batch, which is decoded."""
        return batch[int(rng.integers(len(batch)))]

    def _joined(self, due: list[Place], rng: np.random.Generator) -> Chosen:
        """Draw rows of the clips that are due, and of any others where these are too few."""
        joining = Joining(self.config, self._gap_seconds, rng)
        rows: list[list[Place]] = []
        while due or len(rows) < joining.rows:
            row = self._row(joining, due, rng)
            due = [place for place in due if place not in row]
            rows.append(row)
        return Chosen(rows, joined=True, spliced=joining.spliced, apart=joining.apart)

    def _row(self, joining: Joining, due: list[Place], rng: np.random.Generator) -> list[Place]:
        waiting = iter(due)

        def draw() -> Place:
            return next(waiting, None) or self.sampler.any(rng)

        return joining.row(draw, self.seconds)
