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
            "others would be learned. Leave it out"
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


def join_probability(config: BatchConfig, update: int) -> float:
    """Return how probable it is that the rows of a batch are joined, at an update from 0."""
    progress = (update - config.join_from) / max(config.join_until - config.join_from, 1)
    return config.join * min(max(progress, 0.0), 1.0)


def row_seconds(config: BatchConfig, rng: np.random.Generator) -> tuple[float, int]:
    """Draw how long the rows of a joined batch are, and return how many fit into it."""
    target = rng.uniform(SHORTEST_ROW, config.join_seconds)
    return target, max(1, int(config.seconds / (target + 1.0)))


def joined_row(
    config: BatchConfig,
    gap_seconds: float,
    target: float,
    rng: np.random.Generator,
    draw: Callable[[], Place],
    seconds: Callable[[Place], float],
) -> list[Place]:
    """Draw the clips of a row, up to a length.

    Args:
        gap_seconds: most silence between two.
        target: seconds of the row; its first clip may be longer.
        draw: gives a clip; it may be drawn and not taken.
        seconds: gives the length of a clip.
    """
    most = int(rng.integers(config.join_clips[0], config.join_clips[1] + 1))
    row: list[Place] = []
    length = 0.0
    while len(row) < most:
        place = draw()
        if row and rng.random() < config.repeat:
            place = row[-1]
        length += seconds(place)
        length += gap_seconds / 2
        if row and length > target:
            break
        row.append(place)
    return row
