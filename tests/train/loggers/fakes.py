"""Small stand-ins for mlflow, wandb and clearml, with the signatures that their documentation gives.

The packages are not needed to test our adapters: each stand-in is written as a module into a temporary folder,
takes the calls that the real one documents and no other, and notes them in a file.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest

NOTED = """
import json, pathlib
CALLS = pathlib.Path(__file__).with_suffix(".calls")

def note(*call):
    with CALLS.open("a") as file:
        print(json.dumps(call, default=str), file=file)
"""

MLFLOW = (
    NOTED
    + """
import sys, types
from types import SimpleNamespace as Namespace

class Metric:
    def __init__(self, key, value, timestamp, step):
        self.key, self.value, self.step = key, value, step
        assert isinstance(timestamp, int)

class Param:
    def __init__(self, key, value):
        self.key, self.value = key, value
        assert isinstance(value, str)

class MlflowClient:
    def __init__(self, tracking_uri=None, registry_uri=None):
        pass

    def get_experiment_by_name(self, name):
        return None

    def create_experiment(self, name, artifact_location=None, tags=None):
        note("create_experiment", name)
        return "7"

    def create_run(self, experiment_id, start_time=None, tags=None, run_name=None):
        note("create_run", experiment_id, run_name)
        return Namespace(info=Namespace(run_id="abc"))

    def update_run(self, run_id, status=None, name=None):
        note("update_run", run_id, status)

    def log_batch(self, run_id, metrics=(), params=(), tags=(), synchronous=None):
        assert len(metrics) <= 1000 and len(params) <= 100
        note("log_batch", run_id, {m.key: (m.step, m.value) for m in metrics}, {p.key: p.value for p in params})

    def log_text(self, run_id, text, artifact_file):
        note("log_text", run_id, text, artifact_file)

    def log_artifact(self, run_id, local_path, artifact_path=None):
        note("log_artifact", run_id, local_path)

    def set_terminated(self, run_id, status=None, end_time=None):
        note("set_terminated", run_id, status)

entities = sys.modules["mlflow.entities"] = types.ModuleType("mlflow.entities")
entities.Metric, entities.Param = Metric, Param
__path__ = []
"""
)

WANDB = (
    NOTED
    + """
class Settings:
    def __init__(self, console="auto"):
        self.console = console

class Html:
    def __init__(self, data, inject=True):
        self.data = data

    def __str__(self):
        return self.data

class Histogram:
    def __init__(self, sequence=None, np_histogram=None, num_bins=64):
        self.sequence = sequence

    def __str__(self):
        return f"histogram of {len(self.sequence)}"

class Config:
    def update(self, d, allow_val_change=None):
        note("config.update", d, allow_val_change)

class Run:
    config = Config()

    def define_metric(self, name, step_metric=None, step_sync=None, hidden=None, summary=None):
        note("define_metric", name, step_metric)

    def log(self, data, step=None, commit=None):
        note("log", data)

    def save(self, glob_str, base_path=None, policy="live"):
        note("save", glob_str, base_path, policy)

    def finish(self, exit_code=None, quiet=None):
        note("finish", exit_code)

def init(entity=None, project=None, dir=None, id=None, name=None, config=None, mode=None, resume=None, settings=None):
    note("init", project, name, id, resume, dir, mode, settings.console)
    return Run()
"""
)

CLEARML = (
    NOTED
    + """
class Logger:
    def report_scalar(self, title, series, value, iteration):
        note("report_scalar", title, series, value, iteration)

    def report_text(self, msg, level=20, print_console=True):
        note("report_text", msg, print_console)

    def report_histogram(self, title, series, values, iteration=None, labels=None, xlabels=None, xaxis=None, yaxis=None):
        note("report_histogram", title, series, int(values.sum()), iteration, len(xlabels))

class Task:
    id = "t1"

    @classmethod
    def init(
        cls, project_name=None, task_name=None, task_type="training", tags=None, reuse_last_task_id=True,
        continue_last_task=False, output_uri=None, auto_connect_arg_parser=True, auto_connect_frameworks=True,
        auto_resource_monitoring=True, auto_connect_streams=True, deferred_init=False,
    ):
        note("init", project_name, task_name, reuse_last_task_id, continue_last_task)
        assert not (auto_connect_arg_parser or auto_connect_frameworks or auto_connect_streams)
        return cls()

    def set_initial_iteration(self, offset=0):
        note("set_initial_iteration", offset)

    def connect(self, mutable, name=None, ignore_remote_overrides=False):
        note("connect", mutable, name)

    def get_logger(self):
        return Logger()

    def upload_artifact(self, name, artifact_object, metadata=None):
        note("upload_artifact", name, artifact_object)

    def mark_stopped(self, force=False, status_message=None):
        note("mark_stopped", status_message)

    def flush(self, wait_for_uploads=False):
        note("flush")

    def close(self):
        note("close")
"""
)

SOURCES = {"mlflow": MLFLOW, "wandb": WANDB, "clearml": CLEARML}


class Fake:
    """An installed stand-in; `calls` are those that were made of it since it was asked last."""

    def __init__(self, name: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self._calls = folder / f"{name}.calls"
        (folder / f"{name}.py").write_text(SOURCES[name])
        monkeypatch.syspath_prepend(str(folder))
        for module in [each for each in sys.modules if each.partition(".")[0] == name]:
            monkeypatch.delitem(sys.modules, module)
        monkeypatch.delitem(sys.modules, f"train.loggers.{name}", raising=False)

    def calls(self) -> list[list[Any]]:
        """Return the calls, and forget them."""
        lines = self._calls.read_text().splitlines() if self._calls.exists() else []
        self._calls.unlink(missing_ok=True)
        return [json.loads(line) for line in lines]
