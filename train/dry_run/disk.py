"""Disk: what the checkpoints of a run take, and what there is."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path

from stream.front_end.log_mel import SAMPLE_RATE
from train.compute.memory import bytes_of
from train.config.file import resolve
from train.config.run import Config
from train.data.lazy.index_cache import default_cache
from train.run.learner import Learner
from train.run.start import Start
from train.schedules.calendar import Calendar
from train.validation.scoring import activations_of


@dataclass(frozen=True)
class Disk:
    """Bytes of a run's folder.

    Attributes:
        resumable_bytes: of a checkpoint that a run resumes from, and resumable how many there are at most:
            those of the ring, milestones, and one that is being written.
        model_bytes: of one without what resuming needs, and models how many there are at most.
        free_bytes: on the disk of the folder.
        cached_bytes: of decoded recordings, where `data.cache` is disk.
        cache_free_bytes: on the disk of the cache.
    """

    resumable_bytes: int
    resumable: int
    model_bytes: int
    models: int
    free_bytes: int
    cached_bytes: int
    cache_free_bytes: int

    @property
    def needed_bytes(self) -> int:
        """What the run takes at most."""
        return self.resumable * self.resumable_bytes + self.models * self.model_bytes


def disk_of(
    folder: Path,
    config: Config,
    start: Start,
    learner: Learner,
    hours: float,
    updates: range,
    calendar: Calendar,
) -> Disk:
    """Return what a run takes.

    Args:
        learner: one that has made an update, so that its optimiser has its moments.
        hours: of recordings that are learned from.
        updates: which the run makes.
    """
    cache = config.data.cache_folder
    model = bytes_of(learner.average.state_dict()) + len(start.tokenizer)
    model += 0 if start.ngram is None else len(start.ngram.binary)
    milestones = sum(map(calendar.is_milestone, updates))
    best = len(activations_of(learner.model.specification.activation))
    kept = sum(map(calendar.validates, updates)) if config.keep else 0
    return Disk(
        model + bytes_of(learner.state_dict()),
        max(config.resumable, 1) + milestones + 1,
        model,
        best + kept,
        _free(folder),
        round(hours * 3600 * SAMPLE_RATE * 2) if config.data.cache == "disk" else 0,
        _free(default_cache() if cache is None else resolve(cache)),
    )


def _free(folder: Path) -> int:
    """Return the bytes that are free on the disk of a folder, which need not be there yet."""
    folders = (folder.absolute(), *folder.absolute().parents)
    return shutil.disk_usage(next(each for each in folders if each.exists())).free
