"""The learning rate of an update: a warm-up, a plateau, and one of several ways down.

    share of the peak
    1  .    ________
          /          \\        half-life   0.5^(n / half_life), n updates after the plateau (NUMERICS 5.2)
         /            \\       linear      to min_rate at the end of the run
        /              \\      cosine      the same, along half a cosine
       /                \\     noam        sqrt(warmup / (warmup + n))
    0 /                  '--  constant    1

Eden, icefall's, has no plateau: from the first update it is
((u / U)^2 + 1)^-1/4 ((e / E)^2 + 1)^-1/4 of u updates and e whole epochs, and warms up from a half.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from train.config.duration import updates_in
from train.config.learning import Optimiser
from train.schedules.calendar import Calendar


@dataclass(frozen=True)
class LearningRate:
    """The learning rates of a run.

    Attributes:
        config: the kind of schedule, its peak and its floor.
        warmup, hold, half_life, eden_updates: updates.
        calendar: of the run.
    """

    config: Optimiser
    warmup: int
    hold: int
    half_life: int
    eden_updates: int
    calendar: Calendar

    @classmethod
    def of(cls, config: Optimiser, calendar: Calendar) -> LearningRate:
        """Return the learning rates that a configuration gives a run."""
        names = ("warmup", "hold", "half_life", "eden_updates")
        updates = {name: updates_in(getattr(config, name), calendar.epoch) for name in names}
        return cls(config, calendar=calendar, **updates)

    def at(self, update: int, factor: float = 1.0) -> float:
        """Return the rate of an update, counted from 1, for weights whose rate has a factor."""
        return max(self.share(update) * (self.config.rate * factor), self.config.min_rate)

    def share(self, update: int) -> float:
        """Return the share of the peak, before the floor."""
        if self.config.schedule == "eden":
            return self._eden(update)
        after = update - self.warmup - self.hold
        return _rise(update, self.warmup) if after < 0 else self._fall(after)

    def _fall(self, after: int) -> float:
        """Return the share so many updates after the plateau."""
        low = self.config.min_rate / self.config.rate
        whole = self.calendar.end - self.warmup - self.hold
        progress = min(after / whole, 1.0) if whole > 0 else 1.0
        match self.config.schedule:
            case "half-life":
                return float(0.5 ** (after / self.half_life))
            case "linear":
                return low + (1.0 - low) * (1.0 - progress)
            case "cosine":
                return low + (1.0 - low) * 0.5 * (1.0 + math.cos(math.pi * progress))
            case "noam":
                warmup = max(self.warmup, 1)
                return math.sqrt(warmup / (warmup + after))
            case _:
                return 1.0

    def _eden(self, update: int) -> float:
        epoch = (update - 1) // self.calendar.epoch  # as in icefall: those that are over
        falls = (update / self.eden_updates, epoch / self.config.eden_epochs)
        share = math.prod(math.pow(fall**2 + 1.0, -0.25) for fall in falls)
        return share * (0.5 + 0.5 * min(update / max(self.warmup, 1), 1.0))


def halved_after(config: Optimiser, epoch: int, times: int) -> int:
    """Return the update at which the half-life schedule has halved the rate so many times."""
    warmup, hold, half_life = (
        updates_in(each, epoch) for each in (config.warmup, config.hold, config.half_life)
    )
    return warmup + hold + times * half_life


def _rise(update: int, warmup: int) -> float:
    """Return the share of the peak before the way down."""
    return (update + 1) / (warmup + 1) if update < warmup else 1.0
