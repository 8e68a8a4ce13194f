"""`python -m train.sweep`: columns, the best, nothing computed twice, and what is refused."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import msgspec
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("matplotlib")

from tests.tiny import tiny_network
from train import checkpoint
from train import sweep as command
from train.checkpoints.selection import Sweep, read_sweep, sweep
from train.model import Transducer


def save(path: Path, update: int, seed: int) -> None:
    """Write a checkpoint of random weights, which says little."""
    network = tiny_network(activation="soft")
    module = Transducer(network.specification, normalised=True)
    module.initialise(torch.Generator().manual_seed(seed))
    with torch.no_grad():
        module.output.bias[-1] += 3.0  # of the blank: 30 tokens a frame would take long
    content: dict[str, Any] = {
        "specification": msgspec.to_builtins(network.specification),
        "averaged": module.state_dict(),
        "mean": network.arrays["normaliser.mean"].tolist(),
        "variance": network.arrays["normaliser.variance"].tolist(),
        "tokenizer": network.tokenizer,
        "notes": {"training": {"updates": update}},
    }
    checkpoint.save(content, path)


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """A soft run; the names of its files are in another order than their updates."""
    folder = tmp_path / "soft"
    folder.mkdir()
    # The tiny tokenizer spells little of what is said in the recordings.
    config = {"model": {"activation": "soft"}, "data": {"unknown": "allow"}}
    (folder / "config.json").write_text(json.dumps(config))
    for name, update, seed in (("best", 500, 2), ("last", 750, 3), ("update-000250", 250, 1)):
        save(folder / f"{name}.pt", update, seed)
    return folder


def test_it_prints_a_column_for_each_arithmetic_in_the_order_of_the_checkpoints_updates(
    run: Path, manifest: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = [str(run), "--manifest", str(manifest), "--hard", "--int8", "--threads", "1"]
    assert command.main(arguments) == 0
    captured = capsys.readouterr()
    head, *rows = captured.out.splitlines()
    assert head.split() == ["update", "checkpoint", "soft", "%", "hard", "%", "int8", "%"]
    assert [row.split()[:2] for row in rows] == [
        ["250", "update-000250.pt"],
        ["500", "best.pt"],
        ["750", "last.pt"],
    ]
    assert all(re.match(r" +\d+  \S+( +(\d+\.\d\d|-)){3}", row) for row in rows)
    assert sum("start from this" in row for row in rows) == 1
    assert (run / "sweep.svg").read_text().lstrip().startswith("<?xml")
    found = read_sweep(run / "sweep.json")
    assert found is not None
    assert found.arithmetics == ["soft", "hard", "int8"]
    assert [score.update for score in found.scores] == [250, 500, 750]

    written = (run / "sweep.json").read_bytes()
    assert captured.err.count(" of 3: ") == 9
    assert command.main([*arguments, "--plot", str(run / "again.png")]) == 0
    assert " of 3: " not in capsys.readouterr().err  # nothing was computed
    assert (run / "sweep.json").read_bytes() == written
    assert (run / "again.png").read_bytes().startswith(b"\x89PNG")


def scored(run: Path, known: Sweep | None, digest: str = "a") -> tuple[Sweep, list[int]]:
    """Sweep with scores by update that need no recording; returns it and what was computed."""
    wers = {250: 0.2, 500: 0.1, 750: 0.1}
    computed: list[int] = []

    def score(network: Any) -> float:
        update = network.notes["training"]["updates"]
        computed.append(update)
        return wers[update]

    begin = Sweep(run=run.name, manifest="m", recordings=digest, arithmetics=["soft", "int8"])
    scorers = {"soft": lambda network: 0.5, "int8": score}
    files = sorted(run.glob("*.pt"))
    return sweep(files, scorers, begin, known, lambda _: None, lambda _: None), computed


def test_the_best_is_the_lowest_of_the_last_arithmetic_and_of_equal_ones_the_latest(
    run: Path,
) -> None:
    done, _ = scored(run, None)
    assert done.best == "last.pt"


def test_only_weights_that_are_new_are_scored_and_other_recordings_begin_anew(run: Path) -> None:
    done, computed = scored(run, None)
    assert computed == [500, 750, 250]
    save(run / "best.pt", 750, 3)  # overwritten with the weights of another
    save(run / "last.pt", 250, 9)  # and with new ones
    done, computed = scored(run, done)
    assert computed == [250]
    assert {s.file: s.wer["int8"] for s in done.scores} == {
        "best.pt": 0.1,
        "last.pt": 0.2,
        "update-000250.pt": 0.2,
    }
    assert scored(run, done, digest="b")[1] == [750, 250, 250]


def test_transcripts_are_taken_as_the_run_takes_them(
    run: Path, manifest: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (run / "config.json").write_text(json.dumps({"model": {"activation": "soft"}}))
    assert command.main([str(run), "--manifest", str(manifest)]) == 3
    said = capsys.readouterr().err
    assert "two.jsonl: line 1: the tokenizer cannot spell 2 of 2 transcripts" in said
    assert "train with data.unknown=allow" in said


def test_what_cannot_be_read_is_named(
    run: Path, manifest: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    empty = tmp_path / "empty"
    empty.mkdir()
    for arguments, message in (
        ([str(empty), "--manifest", str(manifest)], "empty: holds no training checkpoint"),
        ([str(tmp_path / "none"), "--manifest", str(manifest)], "none: holds no training"),
        ([str(run), "--manifest", str(tmp_path / "none.jsonl")], "none.jsonl"),
    ):
        assert command.main(arguments) == 3
        assert message in capsys.readouterr().err
    (run / "sweep.json").write_text("{}")
    assert command.main([str(run), "--manifest", str(manifest)]) == 3
    assert "sweep.json: is not a sweep" in capsys.readouterr().err
    (run / "config.json").unlink()
    assert command.main([str(run), "--manifest", str(manifest)]) == 3
    assert "config.json: is not the configuration of a run" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--plot", "sweep.pdf"], "--plot is sweep.pdf; it has to end in .svg or .png"),
        (["--limit", "0"], "--limit is 0; want 1 or more"),
        (["--threads", "0"], "--threads is 0; want 1 or more"),
        (["--json", "/nowhere/at/all.json"], "there is no folder /nowhere/at"),
    ],
)
def test_a_wrong_command_line_is_named(
    run: Path, manifest: Path, flags: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as stopped:
        command.main([str(run), "--manifest", str(manifest), *flags])
    assert stopped.value.code == 2
    assert message in capsys.readouterr().err
