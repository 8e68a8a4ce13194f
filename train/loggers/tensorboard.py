"""TensorBoard: RUN/events. `tensorboard --logdir runs` compares the runs of a folder."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from torch.utils.tensorboard.summary import hparams
from torch.utils.tensorboard.writer import SummaryWriter

from train.loggers.logger import Experiment


class TensorBoard:
    """A `Logger`. What a resumed run wrote after its checkpoint is not shown."""

    def __init__(self, experiment: Experiment) -> None:
        self._writer = SummaryWriter(
            str(experiment.folder / "events"), purge_step=experiment.update + 1
        )
        # The table of hyperparameters: it shows the last value of each of the scalars that it names.
        config = dict(experiment.config)
        begin = hparams(config, dict.fromkeys(experiment.results, 0.0))[:2]
        for summary in begin:
            self._writer._get_file_writer().add_summary(summary)

    def scalars(self, update: int, values: Mapping[str, float]) -> None:
        """Write each as a curve."""
        for name, value in values.items():
            self._writer.add_scalar(name, value, update)

    def text(self, update: int, name: str, text: str) -> None:
        """Write Markdown that keeps the lines."""
        block = "\n".join(f"    {line}" for line in text.splitlines())
        self._writer.add_text(name, block, update)

    def histogram(self, update: int, name: str, values: NDArray[np.float32]) -> None:
        """Write a distribution."""
        self._writer.add_histogram(name, values, update)

    def file(self, path: Path) -> None:
        """Do nothing: the file lies beside the events."""

    def flush(self) -> None:
        """Write what is waiting."""
        self._writer.flush()

    def close(self, *, finished: bool) -> None:
        """Write what is waiting."""
        self._writer.close()
