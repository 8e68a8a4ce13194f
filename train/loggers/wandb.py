"""Weights & Biases, offline: RUN/wandb, which `wandb sync` uploads; WANDB_MODE=online uploads at once."""

from __future__ import annotations

import html
import os
import secrets
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import wandb
from numpy.typing import NDArray

from train.loggers.logger import Experiment


class WeightsAndBiases:
    """A `Logger`. Its steps are its own: `update` is the axis, so that a run may go back."""

    def __init__(self, experiment: Experiment) -> None:
        known = experiment.known_as("wandb") or secrets.token_hex(8)
        self._run = wandb.init(
            project=experiment.project,
            name=experiment.name,
            id=known,
            resume="allow",
            dir=str(experiment.folder),
            mode=os.environ.get("WANDB_MODE", "offline"),
            settings=wandb.Settings(console="off"),  # the display draws there
        )
        experiment.remember("wandb", known)
        self._folder = experiment.folder
        self._run.config.update(dict(experiment.config), allow_val_change=True)
        self._run.define_metric("update")
        self._run.define_metric("*", step_metric="update")

    def scalars(self, update: int, values: Mapping[str, float]) -> None:
        """Log them as metrics."""
        self._run.log({"update": update, **values})

    def text(self, update: int, name: str, text: str) -> None:
        """Log it as a page that keeps the lines."""
        page = wandb.Html(f"<pre>{html.escape(text)}</pre>")
        self._run.log({"update": update, name: page})

    def histogram(self, update: int, name: str, values: NDArray[np.float32]) -> None:
        """Log a histogram of 64 bins."""
        self._run.log({"update": update, name: wandb.Histogram(values)})

    def file(self, path: Path) -> None:
        """Keep it among the files of the run."""
        self._run.save(str(path), base_path=str(self._folder), policy="now")

    def flush(self) -> None:
        """Do nothing: what is logged is written by another process."""

    def close(self, *, finished: bool) -> None:
        """End the run."""
        self._run.finish(exit_code=0 if finished else 1)
