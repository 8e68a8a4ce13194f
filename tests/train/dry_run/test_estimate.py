"""A dry run: what a run would take, nothing written, and all that cannot be used named at once."""

from __future__ import annotations

import shutil
from collections import namedtuple
from pathlib import Path

import pytest

pytest.importorskip("torch")

from stream.engine.resources import ProcessMemory
from tests.train.run.corpus import minimal_command, minimal_settings, write_minimal
from train import __main__
from train.config.file import load_config
from train.dry_run.estimate import Estimate, estimated, size, span

Usage = namedtuple("Usage", "total used free")


@pytest.fixture(scope="module")
def minimal(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_minimal(tmp_path_factory.mktemp("corpus"))


@pytest.fixture(scope="module")
def estimate(minimal: Path) -> Estimate:
    config = load_config(minimal, minimal_settings(minimal, "updates=40", "validate_every=20"))
    return estimated(minimal.parent / "run", config, None, None)


@pytest.mark.parametrize(
    "settings", [("data.cache=memory",), ("data.cache=none", "data.workers=1")], ids=str
)
def test_a_dry_run_prints_what_a_run_would_take_and_writes_nothing(
    minimal: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], settings: tuple[str, ...]
) -> None:
    run = tmp_path / "runs" / "mine"
    command = minimal_command(minimal, run, "updates=40", "batches.accumulate=2", *settings)
    assert __main__.main([*command, "--dry-run"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == f"{run}: a dry run, nothing was written there"
    assert [line.split()[0] for line in lines[1:]] == [
        "model", "data", "length", "memory", "speed", "time", "disk",
    ]  # fmt: skip
    assert "lstm encoder, soft;" in lines[1]
    assert "multiply-adds a second of audio" in lines[1]
    assert "40 updates from update 0" in lines[3]
    assert not run.parent.exists()


def test_time_is_that_of_updates_and_validations(estimate: Estimate) -> None:
    trial = estimate.trial
    assert estimate.updates == 40
    assert 0.0 < trial.wait_seconds < trial.update_seconds
    assert estimate.learning_seconds == 40 * trial.update_seconds
    assert estimate.validating_seconds == 2 * trial.validation_seconds > 0.0


def test_memory_is_measured_on_the_largest_batch(estimate: Estimate) -> None:
    trial = estimate.trial
    assert trial.measured
    assert 0 < trial.state_bytes < trial.held_bytes
    assert trial.needed_bytes > trial.state_bytes
    assert trial.largest.rows * trial.largest.seconds > 2.0
    assert estimate.shortages == []


def test_disk_is_what_the_run_then_takes(minimal: Path, tmp_path: Path) -> None:
    settings = (
        "model.hidden=96",
        "updates=2",
        "checkpoint_every=1",
        "keep=true",
        "validate_every=1",
    )
    config = load_config(minimal, minimal_settings(minimal, *settings))
    disk = estimated(tmp_path / "run", config, None, None).disk
    assert __main__.main(minimal_command(minimal, tmp_path / "run", *settings)) == 0
    there = {path.name: path.stat().st_size for path in (tmp_path / "run").glob("*.pt")}
    assert there["last.pt"] == pytest.approx(disk.resumable_bytes, rel=0.05, abs=20_000)
    assert there["best.pt"] == pytest.approx(disk.model_bytes, rel=0.05, abs=20_000)
    assert disk.models >= len(there) - 1
    assert disk.resumable == 4  # three stay, and one is being written


def test_a_run_that_is_there_stays_as_it_is_and_what_is_left_is_estimated(
    minimal: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = minimal_command(minimal, tmp_path)
    assert __main__.main(command) == 0
    before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")}
    capsys.readouterr()
    more = [*command, "--set", "updates=9", "--change", "--dry-run"]
    more += ["--set", f"data.tokenizer={tmp_path}/gone.model"]  # what it began with is in last.pt
    assert __main__.main(more) == 0
    assert "7 updates from update 2" in capsys.readouterr().out
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")} == before


def test_all_that_cannot_be_opened_is_named_at_once(
    minimal: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "bad.jsonl").write_text('{"audio_filepath": "none.wav", "text": "a"}\n')
    wrong = (
        f"data.train=['{tmp_path}/none.jsonl', '{tmp_path}/bad.jsonl']",
        f"data.dev={tmp_path}/dev.jsonl",
        f"data.noise={tmp_path}/noise",
    )
    command = minimal_command(minimal, tmp_path / "run", *wrong)
    assert __main__.main([*command, "--dry-run"]) == 3
    said = capsys.readouterr().err
    for name in ("noise", "none.jsonl", "bad.jsonl", "dev.jsonl"):
        assert f"{tmp_path}/{name}" in said
    assert not (tmp_path / "run").exists()
    missing = minimal_command(
        minimal, tmp_path / "run", "data.tokenizer=no.model", "init.model=m.pt"
    )
    assert __main__.main([*missing, "--dry-run"]) == 2
    said = capsys.readouterr().err
    assert "data.tokenizer: no no.model" in said
    assert "init.model: no m.pt" in said


def test_texts_that_cannot_be_spelt_are_refused(
    minimal: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    dev = minimal.parent / "capitals.jsonl"
    dev.write_text((minimal.parent / "dev.jsonl").read_text().replace("cat", "CAT"))
    command = minimal_command(minimal, tmp_path / "run", f"data.dev={dev}")
    assert __main__.main([*command, "--dry-run"]) == 3
    assert "cannot spell" in capsys.readouterr().err


def test_too_little_of_anything_is_said_and_ends_with_1(
    minimal: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(ProcessMemory, "there", lambda self: 10_000_000)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: Usage(1, 1, 1000))
    command = minimal_command(minimal, tmp_path / "run", "data.cache=disk", "data.workers=1")
    assert __main__.main([*command, "--dry-run"]) == 1
    said = capsys.readouterr()
    assert "(expected) with the largest batch" in said.out
    assert "too little memory: the largest batch wants " in said.err
    assert "and there are 10 MB. Lower batches.seconds" in said.err
    assert "too little disk: the checkpoints want " in said.err
    assert "too little disk: decoded recordings take " in said.err
    assert "\ncache     " in said.out


@pytest.mark.parametrize(
    ("count", "words"),
    [(0, "0 B"), (999, "999 B"), (1500, "1.5 kB"), (42_800_000, "42.8 MB"), (5.1e9, "5.1 GB")],
)
def test_bytes_are_told_in_words(count: float, words: str) -> None:
    assert size(count) == words


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(0.4, "0 s"), (59.6, "1 min 0 s"), (3725, "1 h 2 min"), (200_000, "2 d 7 h")],
)
def test_durations_are_told_in_words(seconds: float, words: str) -> None:
    assert span(seconds) == words
