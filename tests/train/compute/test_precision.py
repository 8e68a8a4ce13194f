"""The precision of a run: measured where it is left open, written down, kept; float16 scales its losses."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import msgspec
import pytest

torch = pytest.importorskip("torch")

from tests.train.tones import command, prepared
from train import __main__, checkpoint
from train.checkpoints.resume import Resumed
from train.compute import precision
from train.compute.precision import fastest, measured, shown
from train.compute.ranks import ALONE
from train.run import learner as learning
from train.run.learner import Learner


def test_bfloat16_has_to_be_clearly_faster() -> None:
    assert fastest({"float32": 1.0, "bfloat16": 0.5}) == "bfloat16"
    assert fastest({"float32": 1.0, "bfloat16": 0.97}) == "float32"
    assert fastest({"float32": 1.0, "float16": 0.9}) == "float16"
    assert shown("float32", {"float32": 0.312, "bfloat16": 0.398}) == (
        "precision float32: a batch takes float32 312 ms, bfloat16 398 ms"
    )


def test_what_is_measured_is_the_median_of_rounds_after_one_that_warms_up(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    took = {"float32": [9.0, 1.0, 8.0, 2.0], "bfloat16": [9.0, 4.0, 3.0, 5.0]}
    clock = 0.0

    def step(_: Any, name: str) -> None:
        nonlocal clock
        clock += took[name].pop(0)

    monkeypatch.setattr(precision.time, "perf_counter", lambda: clock)
    batch: Any = object()
    seconds = measured(step, [batch], torch.device("cpu"), ALONE)
    assert seconds == {"float32": 2.0, "bfloat16": 4.0}


def test_a_choice_is_shown_written_down_and_kept_by_a_resumed_run(
    folder: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def slow(_: object) -> dict[str, float]:
        raise AssertionError("a resumed run measures nothing")

    run, length = tmp_path / "run", ("validate_every=9", "checkpoint_every=2")
    open_ = command(folder, run, "precision=auto", *length)
    monkeypatch.setattr(learning, "fastest", lambda seconds: "float32")
    assert __main__.main([*open_, "--set", "updates=2"]) == 0
    assert "precision float32: a batch takes float32 " in capsys.readouterr().err
    assert json.loads((run / "config.json").read_text())["precision"] == "float32"
    assert checkpoint.load(run / "last.pt")["config"]["precision"] == "float32"
    (first, *_) = map(json.loads, (run / "metrics.jsonl").read_text().splitlines())
    assert (first["update"], first["precision"]) == (0, "float32")
    assert set(first["batch_seconds"]) == {"float32", "bfloat16"}
    monkeypatch.setattr(learning, "measured", slow)
    assert __main__.main([*open_, "--set", "updates=4", "--change"]) == 0
    assert "changed: updates: 2 -> 4\n" in (said := capsys.readouterr().err)
    assert "precision" not in said
    # Measuring changed nothing: a run that names the precision has the same weights.
    named = command(folder, tmp_path / "named", *length, "updates=4")
    assert __main__.main(named) == 0
    got, want = (
        checkpoint.load(each / "last.pt")["averaged"] for each in (run, tmp_path / "named")
    )
    assert all(torch.equal(got[name], want[name]) for name in want)


def test_float16_learns_with_scaled_losses_and_skips_what_overflows(folder: Path) -> None:
    run = prepared(folder, folder / "unwritten", "precision=float16", "optimiser.warmup=1")
    plain = prepared(folder, folder / "unwritten", "optimiser.warmup=1")
    batch, scaler = run.material.batches.batch, run.learner._scaler
    scaler.load_state_dict(scaler.state_dict() | {"scale": 1024.0})  # low enough from the start
    for number in range(3):
        got, want = (each.learner.learn([batch(number)]) for each in (run, plain))
        assert got.losses.total == pytest.approx(want.losses.total, rel=0.02)
        assert got.norm == pytest.approx(want.norm, rel=0.05)
    scaler.load_state_dict(scaler.state_dict() | {"scale": 1e38})  # the scaled loss is infinite
    before = [p.detach().clone() for p in run.learner.objective.parameters()]
    skipped = run.learner.learn([batch(3)])
    assert not torch.isfinite(torch.tensor(skipped.norm))
    assert all(map(torch.equal, before, run.learner.objective.parameters()))
    assert scaler.get_scale() == pytest.approx(5e37)
    content = run.learner.state_dict() | {
        "specification": msgspec.to_builtins(run.learner.model.specification),
        "averaged": run.learner.average.state_dict(),
        "config": msgspec.to_builtins(run.config),
    }
    again = Learner(run.config, run.start, run.material, Resumed(Path("last.pt"), content))
    assert again._scaler.get_scale() == scaler.get_scale()
    assert "scaler" not in plain.learner.state_dict()
