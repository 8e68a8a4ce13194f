"""The loggers by name. Each is imported when it is asked for: their packages are extras."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from train.loggers.logger import Experiment, Logger

Opener = Callable[[Experiment], Logger]


def _tensorboard() -> Opener:
    from train.loggers.tensorboard import TensorBoard

    return TensorBoard


def _mlflow() -> Opener:
    from train.loggers.mlflow import MLflow

    return MLflow


def _wandb() -> Opener:
    from train.loggers.wandb import WeightsAndBiases

    return WeightsAndBiases


def _clearml() -> Opener:
    from train.loggers.clearml import ClearML

    return ClearML


LOGGERS: dict[str, Callable[[], Opener]] = {
    "tensorboard": _tensorboard,
    "mlflow": _mlflow,
    "wandb": _wandb,
    "clearml": _clearml,
}


def openers(names: Iterable[str]) -> list[Opener]:
    """Return what opens each of the loggers.

    Raises:
        ModuleNotFoundError: its package is not installed; `explain_missing_extras` says which extra has it.
    """
    return [LOGGERS[name]() for name in names]
