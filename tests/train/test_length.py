"""How long a run lasts and which checkpoints stay: epochs, patience, milestones."""

from __future__ import annotations

import itertools
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch")

from tests.train.tones import command, metrics, prepared
from train import __main__, checkpoint, loop
from train.loop import Run
from train.validation.scoring import Score

# The corpus has 12 clips of 6.1 s in all, with 0.5 s of silence each 12.1 s, in batches of 4 s.
EPOCH = 3


def test_a_run_of_epochs_ends_with_the_last_one(folder: Path, tmp_path: Path) -> None:
    settings = "epochs=4", 'validate_every="2 epochs"', 'checkpoint_every="1 epoch"'
    assert __main__.main(command(folder, tmp_path, *settings)) == 0
    assert json.loads((tmp_path / "config.json").read_text())["epochs"] == 4
    last = checkpoint.load(tmp_path / "last.pt")
    assert last["update"] == 4 * EPOCH
    lines = metrics(tmp_path)
    assert [line["update"] for line in lines if "wer" in line] == [2 * EPOCH, 4 * EPOCH]
    assert [line["epoch"] for line in lines if "loss" in line] == [pytest.approx(10 / EPOCH)]
    kept = sorted(path.stem for path in (tmp_path / "resumable").iterdir())
    assert kept == [f"update-{n * EPOCH:06d}" for n in (2, 3, 4)]


def worse_and_worse(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have each validation find a higher WER than the last."""

    score, wers = loop.scored, itertools.count(1)

    def scored(*of: Any) -> Score:
        return replace(score(*of), wer={"all": next(wers) / 10})

    monkeypatch.setattr(loop, "scored", scored)


def test_a_run_that_no_longer_gets_better_ends_and_stays_ended(
    folder: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    worse_and_worse(monkeypatch)
    run = command(folder, tmp_path, "validate_every=2", "patience=3")
    assert __main__.main(run) == 0
    assert "update 8   ends: 3 validations without a better WER" in capsys.readouterr().err
    assert checkpoint.load(tmp_path / "last.pt")["update"] == 8  # the first was the best
    assert [line["update"] for line in metrics(tmp_path)] == [2, 4, 6, 8]
    before = (tmp_path / "last.pt").read_bytes()
    assert __main__.main(run) == 0
    assert (tmp_path / "last.pt").read_bytes() == before
    assert __main__.main([*run, "--set", "patience=4", "--change"]) == 0
    assert checkpoint.load(tmp_path / "last.pt")["update"] == 10


def test_a_resumed_run_is_as_patient_as_one_that_was_not_stopped(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    worse_and_worse(monkeypatch)
    settings = "validate_every=2", "checkpoint_every=5"
    assert __main__.main(command(folder, tmp_path, *settings, "updates=5")) == 0
    longer = command(folder, tmp_path, *settings, "patience=4")
    assert __main__.main([*longer, "--change"]) == 0
    assert checkpoint.load(tmp_path / "last.pt")["update"] == 8
    assert checkpoint.load(tmp_path / "last.pt")["wers"] == [0.1, 0.2, 0.3, 0.4, 0.5]


def test_milestones_stay_and_can_be_gone_back_to(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    settings = "milestones=[2, 20]", "milestone_every=4", "resumable=1", "updates=9"
    run = command(folder, tmp_path, *settings)
    assert __main__.main(run) == 0
    kept = sorted(path.name for path in (tmp_path / "milestones").iterdir())
    assert kept == ["update-000002.pt", "update-000004.pt", "update-000008.pt"]
    assert [path.stem for path in (tmp_path / "resumable").iterdir()] == ["update-000009"]
    assert __main__.main([*run, "--resume-from", "3"]) == 2
    assert (
        f"--resume-from 3: no checkpoint of update 3 in {tmp_path}. There are: 2, 4, 8, 9"
        in capsys.readouterr().err
    )
    want = checkpoint.load(tmp_path / "last.pt")
    assert __main__.main([*run, "--resume-from", "4"]) == 0
    got = checkpoint.load(tmp_path / "last.pt")
    for name, value in want["averaged"].items():
        assert torch.equal(got["averaged"][name], value), name


def test_metrics_are_on_disk_before_the_checkpoint_that_they_belong_to(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    order: list[str] = []
    monkeypatch.setattr(loop.Monitor, "sync", lambda self: order.append("sync"))
    monkeypatch.setattr(Run, "_save", lambda self: order.append("save"))
    prepared(folder, tmp_path / "run", "updates=8").train()
    assert order == ["sync", "save"] * 2
