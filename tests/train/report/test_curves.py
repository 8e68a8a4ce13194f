"""Pictures of runs from their metrics, whatever an older run's lack."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("matplotlib")

from stream.errors import InputError
from train import curves as command
from train.report.curves import Metrics, draw


def run(folder: Path, *entries: dict[str, Any]) -> Path:
    """Write the metrics of a run; the last line is one that is being written."""
    folder.mkdir()
    lines = [json.dumps({"schema": "rill.metrics/1", **entry}) for entry in entries]
    (folder / "metrics.jsonl").write_text("\n".join([*lines, '{"schema":"rill.met']))
    return folder


def learned(update: int, loss: float | None, **more: Any) -> dict[str, Any]:
    return {"update": update, "loss": loss, "rate": 0.002, "hours": update / 100, **more}


def validated(update: int, wer: float, **more: Any) -> dict[str, Any]:
    return {"update": update, "wer": {"soft": {"all": wer}, "hard": {"all": 2 * wer}}, **more}


def whole(folder: Path) -> Path:
    """A run of now: loss per token, dev, latency."""
    late = {"median_ms": 20.0, "p90_ms": 80.0, "words": 9}
    dev = {"loss": 3.0, "per_token": 1.5}
    return run(
        folder,
        learned(10, 4.0, per_token=2.0),
        validated(10, 41.9, dev=dev, emission_latency=late),
        learned(20, 3.0, per_token=1.5),
        validated(20, 0.4, dev=dev, emission_latency=late),
        learned(30, 2.0, per_token=1.0),
        validated(30, 0.5, dev=dev, emission_latency=late),
    )


def test_curves_are_read_by_name_and_null_is_not_a_number(tmp_path: Path) -> None:
    metrics = Metrics.read(
        run(tmp_path / "soft", learned(10, 4.0), validated(10, 0.5), learned(20, None))
    )
    loss = metrics.curve("loss")
    assert loss.updates.tolist() == [10, 20]
    assert loss.values[0] == 4.0 and math.isnan(loss.values[1])
    assert metrics.curve("wer", "hard", "all").values.tolist() == [1.0]
    assert metrics.curve("dev", "loss").updates.tolist() == []
    assert metrics.activations() == ["soft", "hard"]


def test_a_long_curve_is_smoothed_to_means_of_neighbours(tmp_path: Path) -> None:
    entries = [learned(n, float(n % 2)) for n in range(600)]
    smooth = Metrics.read(run(tmp_path / "soft", *entries)).curve("loss").smooth()
    assert smooth.values.tolist() == [0.5] * 60
    assert smooth.updates[-1] == 599


def test_the_command_draws_runs_and_says_where_they_stand(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    soft = whole(tmp_path / "soft")
    old = run(tmp_path / "old", learned(10, 4.0), {"update": 10, "wer": {"hard": {"all": 1.0}}})
    picture = tmp_path / "both.png"
    assert command.main([str(soft), str(old), "--output", str(picture)]) == 0
    assert picture.read_bytes().startswith(b"\x89PNG")
    assert capsys.readouterr().out == (
        "soft: update 30, 0.3 h heard, soft WER 50.0 %, lowest 40.0 % after 20, "
        "hard WER 100.0 %, lowest 80.0 % after 20\n"
        "old: update 10, 0.1 h heard, hard WER 100.0 %, lowest 100.0 % after 10\n"
        f"{picture}\n"
    )
    assert command.main([str(soft)]) == 0
    assert (soft / "curves.svg").read_text().lstrip().startswith("<?xml")


def test_the_loss_is_per_token_only_where_all_runs_have_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    soft = Metrics.read(whole(tmp_path / "soft"))
    old = Metrics.read(run(tmp_path / "old", learned(10, 4.0)))
    asked: list[tuple[str, ...]] = []
    curve = Metrics.curve

    def noted(self: Metrics, *path: str) -> Any:
        asked.append(path)
        return curve(self, *path)

    monkeypatch.setattr(Metrics, "curve", noted)
    draw([soft], tmp_path / "one.svg")
    assert ("dev", "per_token") in asked and ("loss",) not in asked
    draw([soft, old], tmp_path / "two.svg")
    assert ("dev", "loss") in asked


def test_a_folder_without_metrics_and_a_picture_of_another_kind_are_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(InputError, match="no metrics in metrics.jsonl"):
        Metrics.read(tmp_path)
    assert command.main([str(tmp_path)]) == 3
    with pytest.raises(SystemExit, match="2"):
        command.main([str(tmp_path), "--output", "curves.pdf"])
    assert "it has to end in .svg or .png" in capsys.readouterr().err
