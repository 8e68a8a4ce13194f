"""A curriculum for corpora of short clips: words alone first, then rows of several clips.

Before update `join_from` nothing longer than `short_seconds` is learned; from there to `join_until` the share
of batches whose rows are joined rises from 0 to `join` (`train.config.batches.BatchConfig`). A
configuration that does not fit the corpus is refused before anything is learned.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from train.config.batches import BatchConfig
from train.data.rows import Place

LEAST_SHORT = 0.1  # of what is drawn, that is learned alone at first
LEAST_JOINED = 0.5  # of what is drawn, that fits into a joined row twice
SHORTEST_ROW = 2.5  # seconds of a joined row, at least
WORD_SECONDS = 0.5  # that a word lasts, about


def check_short(config: BatchConfig, share: float, count: int, total: int) -> None:
    """Refuse a curriculum that would begin with next to nothing.

    Args:
        share: of what is drawn that is as short as `short_seconds`.
        count, total: how many recordings are as short, and of how many.
    Raises:
        ValueError: it would.
    """
    if share < LEAST_SHORT:
        raise ValueError(
            f"batches.short_seconds is {config.short_seconds}: {count} of {total} recordings "
            f"are as short, {share:.1%} of what is drawn, and before update {config.join_from} no "
            "others would be learned. Leave out batches.short_seconds"
        )


def check_joins(config: BatchConfig, share: float) -> None:
    """Refuse joined rows where most would hold one clip.

    Args:
        share: of what is drawn that fits into a joined row twice.
    Raises:
        ValueError: most would.
    """
    if share < LEAST_JOINED:
        raise ValueError(
            f"batches.join is {config.join}: {1 - share:.0%} of what is drawn is longer than half of "
            f"join_seconds ({config.join_seconds} s), so that most joined rows would hold one clip. "
            "Leave join out, or raise join_seconds"
        )


def check_splices(config: BatchConfig, timed: int) -> None:
    """Refuse spliced rows where no recording says when its words sound.

    Args:
        timed: how many do.
    Raises:
        ValueError: none does.
    """
    if config.splice and not timed:
        raise ValueError(
            f"batches.splice is {config.splice}: no utterance says when its words sound. "
            "rill data align writes that into a manifest"
        )


def join_probability(config: BatchConfig, update: int) -> float:
    """Return how probable it is that the rows of a batch are joined, at an update from 0."""
    progress = (update - config.join_from) / max(config.join_until - config.join_from, 1)
    return config.join * min(max(progress, 0.0), 1.0)


class Joining:
    """How the rows of a joined batch are drawn.

    Args:
        config: of the batches.
        gap_seconds: most silence between two clips of a row.
        rng: of the batch.

    Attributes:
        rows: how many fit into the batch.
        spliced: whether clips give some of their words.
        apart: whether silences are between the clips.
    """

    def __init__(self, config: BatchConfig, gap_seconds: float, rng: np.random.Generator) -> None:
        self._config, self._rng = config, rng
        self.spliced = config.splice > 0.0 and rng.random() < config.splice
        self.apart = not self.spliced or (
            config.splice_apart > 0.0 and rng.random() < config.splice_apart
        )
        self._gap_seconds = gap_seconds if self.apart else 0.0
        self._target = rng.uniform(SHORTEST_ROW, config.join_seconds)
        self.rows = max(1, int(config.seconds / (self._target + 1.0)))

    def row(self, draw: Callable[[], Place], seconds: Callable[[Place], float]) -> list[Place]:
        """Draw the clips of a row, about as long as all rows of the batch; its first may be longer.

        Args:
            draw: gives a clip; it may be drawn and not taken.
            seconds: gives the length of a clip.
        """
        config, rng = self._config, self._rng
        most = int(rng.integers(config.join_clips[0], config.join_clips[1] + 1))
        row: list[Place] = []
        length = 0.0
        while len(row) < most:
            place = draw()
            if row and rng.random() < config.repeat:
                place = row[-1]
            length += self._taken(seconds(place))
            length += self._gap_seconds / 2
            if row and length > self._target:
                break
            row.append(place)
        return row

    def _taken(self, seconds: float) -> float:
        """Return how much of a clip goes into the row, about."""
        if not self.spliced:
            return seconds
        return min(seconds, WORD_SECONDS * sum(self._config.splice_words) / 2)
