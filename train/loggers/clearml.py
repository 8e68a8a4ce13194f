"""ClearML: a task of the project `log.project`, on the server of clearml.conf; CLEARML_OFFLINE_MODE=1: none."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from clearml import Task
from numpy.typing import NDArray

from train.loggers.logger import Experiment

BINS = 64


class ClearML:
    """A `Logger`. ClearML gets what is reported and captures nothing else, such as TensorBoard's events."""

    def __init__(self, experiment: Experiment) -> None:
        known = experiment.known_as("clearml")
        self._task = Task.init(
            project_name=experiment.project,
            task_name=experiment.name,
            reuse_last_task_id=known or False,
            continue_last_task=known is not None,
            auto_connect_frameworks=False,
            auto_connect_arg_parser=False,
            auto_connect_streams=False,
        )
        if known is not None:
            self._task.set_initial_iteration(0)  # else updates are added to those of before
        experiment.remember("clearml", self._task.id)
        self._task.connect(dict(experiment.config), name="configuration")
        self._logger = self._task.get_logger()

    def scalars(self, update: int, values: Mapping[str, float]) -> None:
        """Report them, the first part of a name as the title of a plot."""
        for name, value in values.items():
            if math.isfinite(value):  # ClearML would show another number
                self._logger.report_scalar(*_titled(name), value, update)

    def text(self, update: int, name: str, text: str) -> None:
        """Report it in the console of the task."""
        self._logger.report_text(f"{name}, update {update}\n{text}", print_console=False)

    def histogram(self, update: int, name: str, values: NDArray[np.float32]) -> None:
        """Report the counts of bins."""
        counts, edges = np.histogram(values, BINS)
        labels = [f"{edge:.3g}" for edge in edges[:-1]]
        self._logger.report_histogram(*_titled(name), counts, update, xlabels=labels)

    def file(self, path: Path) -> None:
        """Upload it as an artifact."""
        self._task.upload_artifact(path.name, str(path))

    def flush(self) -> None:
        """Send what is waiting."""
        self._task.flush()

    def close(self, *, finished: bool) -> None:
        """Close the task; one that was interrupted is marked as stopped."""
        if not finished:
            self._task.mark_stopped(status_message="interrupted")
        self._task.close()


def _titled(name: str) -> tuple[str, str]:
    title, _, series = name.partition("/")
    return title, series or title
