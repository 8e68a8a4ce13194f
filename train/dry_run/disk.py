"""Disk: what the checkpoints of a run take, and what there is."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path

from train.config.run import Config
from train.dry_run.memory import bytes_of
from train.run.learner import Learner
from train.run.start import Start
from train.schedules.calendar import Calendar


@dataclass(frozen=True)
class Disk:
    """Bytes of a run's folder.

    Attributes:
        resumable_bytes: of a checkpoint that a run resumes from, and resumable how many there are at most:
            those of the ring, milestones, and one that is being written.
        model_bytes: of one without what resuming needs, and models how many there are at most.
        free_bytes: on the disk of the folder.
    """

    resumable_bytes: int
    resumable: int
    model_bytes: int
    models: int
    free_bytes: int

    @property
    def needed_bytes(self) -> int:
        """What the run takes at most."""
        return self.resumable * self.resumable_bytes + self.models * self.model_bytes


def disk_of(
    folder: Path, config: Config, start: Start, learner: Learner, updates: range, calendar: Calendar
) -> Disk:
    """Return what a run takes.

    Args:
        learner: one that has made an update, so that its optimiser has its moments.
        updates: which the run makes.
    """
    model = bytes_of(learner.average.state_dict()) + len(start.tokenizer)
    model += 0 if start.ngram is None else len(start.ngram.binary)
    milestones = sum(map(calendar.is_milestone, updates))
    best = 2 if learner.model.specification.activation == "soft" else 1
    kept = sum(map(calendar.validates, updates)) if config.keep else 0
    return Disk(
        model + bytes_of(learner.state_dict()),
        max(config.resumable, 1) + milestones + 1,
        model,
        best + kept,
        shutil.disk_usage(_existing(folder)).free,
    )


def _existing(folder: Path) -> Path:
    """Return the folder, or the first one above it that is there."""
    return next(each for each in (folder.absolute(), *folder.absolute().parents) if each.exists())
