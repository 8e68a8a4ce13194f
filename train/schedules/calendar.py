"""When a run validates, saves and ends: its configuration's durations in updates."""

from __future__ import annotations

from dataclasses import dataclass

from train.config.duration import updates_in
from train.config.run import Config


@dataclass(frozen=True)
class Calendar:
    """The updates after which something happens.

    Attributes:
        epoch: updates in an epoch.
        end: the last update.
        validate_every, checkpoint_every: updates from one to the next.
        milestones: after which a checkpoint is written that stays.
        milestone_every: updates from one such to the next; None: there are `milestones` alone.
    """

    epoch: int
    end: int
    validate_every: int
    checkpoint_every: int
    milestones: frozenset[int] = frozenset()
    milestone_every: int | None = None

    @classmethod
    def of(cls, config: Config, epoch: int) -> Calendar:
        """Return the calendar of a run whose epoch has so many updates."""
        end = config.updates or max(1, round((config.epochs or 0.0) * epoch))
        every = config.milestone_every
        return cls(
            epoch,
            end,
            updates_in(config.validate_every, epoch),
            updates_in(config.checkpoint_every, epoch),
            frozenset(updates_in(milestone, epoch) for milestone in config.milestones),
            None if every is None else updates_in(every, epoch),
        )

    def validates(self, update: int) -> bool:
        """Return whether the averaged weights are scored after an update."""
        return update % self.validate_every == 0 or update == self.end

    def saves(self, update: int) -> bool:
        """Return whether a checkpoint to resume from is written after an update."""
        due = update % self.checkpoint_every == 0 or update == self.end
        return due or self.is_milestone(update)

    def is_milestone(self, update: int) -> bool:
        """Return whether the checkpoint of an update stays."""
        every = self.milestone_every
        return update in self.milestones or (every is not None and update % every == 0)

    def epochs(self, update: int) -> float:
        """Return how many epochs were learned from after an update."""
        return update / self.epoch
