"""Workers: errors are raised in their place, and a worker that is killed is said."""

from __future__ import annotations

import multiprocessing
import os
import signal
from dataclasses import dataclass

import numpy as np
import pytest

from stream.errors import InputError
from train.config.batches import AugmentationConfig, BatchConfig
from train.data.lazy.workers import WorkerError, drawn_by_processes
from train.data.rows import Batch, Rows

pytestmark = pytest.mark.slow


@dataclass(frozen=True)
class Scripted:
    """Batches that hold their number; some fail."""

    fails: int = -1
    breaks: int = -1
    dies: int = -1

    @property
    def rows(self) -> Rows:
        return Rows([], BatchConfig(), AugmentationConfig(), 1)

    def batch(self, update: int) -> Batch:
        if update == self.fails:
            raise InputError(f"no recording {update}")
        if update == self.breaks:
            raise ZeroDivisionError(update)
        if update == self.dies:
            os.kill(os.getpid(), signal.SIGKILL)
        number = np.full((1, 1), update)
        return Batch(number.astype(np.float32), number[0], number, number[0])


def numbers(batches: Scripted, workers: int) -> list[int]:
    got = []
    for batch in drawn_by_processes(batches.batch, 0, 6, workers):
        got.append(int(batch.tokens[0, 0]))
    return got


def test_batches_come_in_their_order() -> None:
    assert numbers(Scripted(), 4) == list(range(6))


def test_an_error_is_raised_behind_the_batches_before_it() -> None:
    drawn = drawn_by_processes(Scripted(fails=3).batch, 0, 6, 2)
    assert [int(next(drawn).samples[0]) for _ in range(3)] == [0, 1, 2]
    with pytest.raises(InputError, match="no recording 3"):
        next(drawn)


def test_a_fault_of_ours_has_its_traceback() -> None:
    with pytest.raises(WorkerError, match="(?s)update 2:.*ZeroDivisionError: 1"):
        numbers(Scripted(breaks=1), 2)


def test_a_worker_that_is_killed_is_said_with_its_exit_code() -> None:
    with pytest.raises(WorkerError, match="worker 1 ended with exit code -9 before update 4"):
        numbers(Scripted(dies=3), 2)


def test_who_stops_early_leaves_no_process_behind() -> None:
    drawn = drawn_by_processes(Scripted().batch, 0, 1000, 2)
    next(drawn)
    drawn.close()  # type: ignore[attr-defined]
    assert not [p for p in multiprocessing.active_children() if p.name.startswith("data-")]
