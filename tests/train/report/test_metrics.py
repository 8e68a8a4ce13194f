"""Metrics are read as curves, from a file that is being written."""

from __future__ import annotations

import math
from pathlib import Path

import pytest

from stream.errors import InputError
from tests.train.report.runs import learned, run, validated
from train.report.metrics import Metrics


def test_curves_are_read_by_name_and_null_is_not_a_number(tmp_path: Path) -> None:
    metrics = Metrics.read(
        run(tmp_path / "soft", learned(10, 4.0), validated(10, 0.5), learned(20, None))
    )
    loss = metrics.curve("loss")
    assert loss.updates.tolist() == [10, 20]
    assert loss.values[0] == 4.0 and math.isnan(loss.values[1])
    assert metrics.curve("wer", "hard", "all").values.tolist() == [1.0]
    assert metrics.curve("dev", "loss").updates.tolist() == []
    assert metrics.scored() == ["soft", "hard"]


def test_a_long_curve_is_smoothed_to_means_of_neighbours(tmp_path: Path) -> None:
    entries = [learned(n, float(n % 2)) for n in range(600)]
    smooth = Metrics.read(run(tmp_path / "soft", *entries)).curve("loss").smooth()
    assert smooth.values.tolist() == [0.5] * 60
    assert smooth.updates[-1] == 599


def test_a_run_without_metrics_has_no_curves(tmp_path: Path) -> None:
    assert Metrics.written(tmp_path).curve("loss").values.tolist() == []
    with pytest.raises(InputError, match="no metrics in metrics.jsonl"):
        Metrics.read(tmp_path)
