"""Counts of durations in buckets, cheap enough for every message of every stream."""

from __future__ import annotations

from bisect import bisect_left
from itertools import accumulate

SECONDS = (
    0.001, 0.0025, 0.005, 0.01, 0.02, 0.03, 0.045, 0.06, 0.09, 0.12, 0.25, 0.5, 1, 2.5, 5, 10,
)  # fmt: skip


class Histogram:
    """Durations in the buckets of `SECONDS`, and one bucket for longer ones.

    Attributes:
        sum: of all durations, seconds.
    """

    def __init__(self) -> None:
        self._counts = [0] * (len(SECONDS) + 1)
        self.sum = 0.0

    def observe(self, seconds: float) -> None:
        """Count a duration."""
        self._counts[bisect_left(SECONDS, seconds)] += 1
        self.sum += seconds

    def cumulative(self) -> list[int]:
        """Return the number of durations up to each bound, and last of all durations."""
        return list(accumulate(self._counts))
