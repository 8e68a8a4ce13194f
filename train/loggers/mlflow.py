"""MLflow: a run of the experiment `log.project`, on the server that MLFLOW_TRACKING_URI names."""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from mlflow import MlflowClient
from mlflow.entities import Metric, Param
from numpy.typing import NDArray

from train.loggers.logger import Experiment

METRICS, PARAMS, VALUE = 1000, 100, 500  # of a request; characters of a parameter's value


class MLflow:
    """A `Logger`. MLflow has no histograms: it gets three quantiles of each."""

    def __init__(self, experiment: Experiment) -> None:
        self._client = MlflowClient()
        known = experiment.known_as("mlflow")
        if known is not None:
            self._run = known
            self._client.update_run(known, status="RUNNING")
            return  # its parameters cannot be changed
        project = self._client.get_experiment_by_name(experiment.project)
        filed = (
            project.experiment_id if project else self._client.create_experiment(experiment.project)
        )
        self._run = self._client.create_run(filed, run_name=experiment.name).info.run_id
        experiment.remember("mlflow", self._run)
        params = [Param(key, str(value)[:VALUE]) for key, value in experiment.config.items()]
        for begin in range(0, len(params), PARAMS):
            self._client.log_batch(self._run, params=params[begin : begin + PARAMS])

    def scalars(self, update: int, values: Mapping[str, float]) -> None:
        """Log them as metrics."""
        now = int(1000 * time.time())
        metrics = [Metric(name, value, now, update) for name, value in values.items()]
        for begin in range(0, len(metrics), METRICS):
            self._client.log_batch(self._run, metrics=metrics[begin : begin + METRICS])

    def text(self, update: int, name: str, text: str) -> None:
        """Log it as an artifact."""
        self._client.log_text(self._run, text, f"{name}/update-{update:06d}.txt")

    def histogram(self, update: int, name: str, values: NDArray[np.float32]) -> None:
        """Log its 5th, 50th and 95th percentile as metrics."""
        quantiles = np.percentile(values, (5, 50, 95)).tolist()
        named = zip(("p05", "p50", "p95"), quantiles, strict=True)
        self.scalars(update, {f"{name}/{quantile}": value for quantile, value in named})

    def file(self, path: Path) -> None:
        """Log it as an artifact."""
        self._client.log_artifact(self._run, str(path))

    def flush(self) -> None:
        """Do nothing: every call waits until it is recorded."""

    def close(self, *, finished: bool) -> None:
        """End the run."""
        self._client.set_terminated(self._run, "FINISHED" if finished else "KILLED")
