"""Pictures of runs from their metrics, whatever an older run's lack."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("matplotlib")

from tests.train.report.runs import learned, run, validated
from train import curves as command
from train.report.curves import draw
from train.report.metrics import Metrics


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


def test_runs_of_the_same_name_are_told_apart_by_the_folders_above(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folders = [whole(tmp_path / recipe / "soft") for recipe in ("fr", "fr-scratch")]
    folders.append(whole(tmp_path / "fr" / "int8"))
    picture = tmp_path / "curves.svg"
    assert command.main([*map(str, folders), "--output", str(picture)]) == 0
    names = [line.partition(":")[0] for line in capsys.readouterr().out.splitlines()[:3]]
    assert names == ["fr/soft", "fr-scratch/soft", "int8"]
    drawn = picture.read_text()  # as paths, each behind a comment with its text
    for text in (*names, "WER on dev, % (hard dashed)", "emission latency, ms (90 % dashed)"):
        assert f"<!-- {text} -->" in drawn


def test_a_folder_without_metrics_and_a_picture_of_another_kind_are_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert command.main([str(tmp_path)]) == 3
    with pytest.raises(SystemExit, match="2"):
        command.main([str(tmp_path), "--output", "curves.pdf"])
    assert "it has to end in .svg or .png" in capsys.readouterr().err
