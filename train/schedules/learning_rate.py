"""The learning rate of an update (NUMERICS 5.2)."""

from __future__ import annotations

__all__ = ["learning_rate"]


def learning_rate(
    update: int, *, rate: float, min_rate: float, warmup: int, hold: int, half_life: int
) -> float:
    """Return the learning rate of an update, counted from 1: warm-up, plateau, exponential decay.

    A group with a factor passes `rate` times the factor: the floor applies after it.
    """
    if update < warmup:
        factor = (update + 1) / (warmup + 1)
    elif update < warmup + hold:
        factor = 1.0
    else:
        factor = 0.5 ** ((update - warmup - hold) / half_life)
    return max(factor * rate, min_rate)
