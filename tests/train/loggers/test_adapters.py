"""The adapters of MLflow, Weights & Biases and ClearML, against stand-ins of their APIs."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from stream.extras import MissingExtraError, explain_missing_extras
from tests.train.loggers.fakes import Fake
from train.loggers.logger import Experiment, Logger
from train.loggers.table import openers

CONFIG: dict[str, str | int | float | bool] = {"seed": 1, "optimiser.rate": 0.002, "keep": False}


def opened(name: str, folder: Path, update: int = 0) -> Logger:
    (opener,) = openers([name])
    return opener(Experiment(folder, "speech", CONFIG, update, ("best/hard",)))


def use(logger: Logger, folder: Path) -> None:
    """Make every call of the interface once."""
    logger.scalars(10, {"loss": 2.5, "wer/hard/all": 0.5})
    logger.text(10, "validation", "said <unk>\nheard")
    logger.histogram(10, "weights/output", np.arange(5, dtype=np.float32))
    logger.file(folder / "best.pt")
    logger.flush()


@pytest.fixture
def run(tmp_path: Path) -> Path:
    folder = tmp_path / "runs" / "soft"
    folder.mkdir(parents=True)
    return folder


def test_mlflow_gets_a_run_of_the_project(
    tmp_path: Path, run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake = Fake("mlflow", tmp_path, monkeypatch)
    logger = opened("mlflow", run)
    use(logger, run)
    logger.close(finished=True)
    params = {"seed": "1", "optimiser.rate": "0.002", "keep": "False"}
    quantiles = {"p05": [10, 0.2], "p50": [10, 2.0], "p95": [10, 3.8]}
    assert fake.calls() == [
        ["create_experiment", "speech"],
        ["create_run", "7", "soft"],
        ["log_batch", "abc", {}, params],
        ["log_batch", "abc", {"loss": [10, 2.5], "wer/hard/all": [10, 0.5]}, {}],
        ["log_text", "abc", "said <unk>\nheard", "validation/update-000010.txt"],
        ["log_batch", "abc", {f"weights/output/{q}": v for q, v in quantiles.items()}, {}],
        ["log_artifact", "abc", str(run / "best.pt")],
        ["set_terminated", "abc", "FINISHED"],
    ]
    logger = opened("mlflow", run, update=10)
    logger.close(finished=False)
    assert fake.calls() == [["update_run", "abc", "RUNNING"], ["set_terminated", "abc", "KILLED"]]


def test_wandb_writes_offline_and_takes_the_update_as_its_axis(
    tmp_path: Path, run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("WANDB_MODE", raising=False)
    fake = Fake("wandb", tmp_path, monkeypatch)
    logger = opened("wandb", run)
    use(logger, run)
    logger.close(finished=True)
    begun, *calls = fake.calls()
    id_ = begun[3]
    assert begun == ["init", "speech", "soft", id_, "allow", str(run), "offline", "off"]
    assert calls == [
        ["config.update", CONFIG, True],
        ["define_metric", "update", None],
        ["define_metric", "*", "update"],
        ["log", {"update": 10, "loss": 2.5, "wer/hard/all": 0.5}],
        ["log", {"update": 10, "validation": "<pre>said &lt;unk&gt;\nheard</pre>"}],
        ["log", {"update": 10, "weights/output": "histogram of 5"}],
        ["save", str(run / "best.pt"), str(run), "now"],
        ["finish", 0],
    ]
    opened("wandb", run, update=10).close(finished=False)
    again = fake.calls()
    assert again[0][3] == id_ and again[-1] == ["finish", 1]


def test_clearml_gets_a_task_that_captures_nothing_by_itself(
    tmp_path: Path, run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake = Fake("clearml", tmp_path, monkeypatch)
    logger = opened("clearml", run)
    use(logger, run)
    logger.scalars(20, {"gradient_norm": float("nan")})
    logger.close(finished=True)
    assert fake.calls() == [
        ["init", "speech", "soft", False, False],
        ["connect", CONFIG, "configuration"],
        ["report_scalar", "loss", "loss", 2.5, 10],
        ["report_scalar", "wer", "hard/all", 0.5, 10],
        ["report_text", "validation, update 10\nsaid <unk>\nheard", False],
        ["report_histogram", "weights", "output", 5, 10, 64],
        ["upload_artifact", "best.pt", str(run / "best.pt")],
        ["flush"],
        ["close"],
    ]
    opened("clearml", run, update=10).close(finished=False)
    calls = fake.calls()
    assert calls[:2] == [["init", "speech", "soft", "t1", True], ["set_initial_iteration", 0]]
    assert calls[-2:] == [["mark_stopped", "interrupted"], ["close"]]


@pytest.mark.parametrize("name", ["mlflow", "wandb", "clearml"])
def test_a_package_that_is_missing_is_named_with_its_extra(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, name, None)
    monkeypatch.delitem(sys.modules, f"train.loggers.{name}", raising=False)
    said = rf"{name} is not installed: .*\[{name}\]"
    with pytest.raises(MissingExtraError, match=said), explain_missing_extras():
        openers([name])


def test_ids_of_several_services_are_kept_beside_each_other(run: Path) -> None:
    experiment = Experiment(run, "speech", {})
    assert experiment.name == "soft" and experiment.known_as("mlflow") is None
    experiment.remember("mlflow", "abc")
    experiment.remember("wandb", "def")
    known: list[Any] = [experiment.known_as(name) for name in ("mlflow", "wandb", "clearml")]
    assert known == ["abc", "def", None]
