"""A lower blank: measured, written into the output layer, and the same wherever the checkpoint goes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from stream.decoding.decoding import Decoding
from stream.manifest import read_manifest
from stream.model.network import open_model
from stream.model.specification import Head
from stream.validation import validate
from tests.train.tones import command
from train import __main__ as training
from train import blank_penalty, checkpoint


@pytest.fixture(scope="module")
def best(folder: Path) -> Path:
    run = folder / "runs" / "blank"
    settings = "updates=6", "validate_every=6", "model.decoder=both"
    assert training.main(command(folder, run, *settings)) == 0
    return run / "best.pt"


@pytest.mark.parametrize(
    ("head", "name"), [("transducer", "joint.output.bias"), ("ctc", "ctc.bias")]
)
def test_the_best_penalty_of_a_head_is_measured_and_written(
    best: Path,
    folder: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    head: Head,
    name: str,
) -> None:
    output, dev = tmp_path / "tuned.pt", folder / "dev.jsonl"
    arguments = [str(best), "--manifest", str(dev), "--output", str(output), "--head", head]
    assert blank_penalty.main([*arguments, "--penalties", "-30", "0", "2", "--limit", "8"]) == 0
    rows = [line.split() for line in capsys.readouterr().out.splitlines()[1:]]
    assert [row[0] for row in rows] == ["-30", "0", "2"]
    assert rows[0][1] == "100.00", "with blank above everything nothing is said"
    chosen = min(rows, key=lambda row: (float(row[1]), abs(float(row[0]))))
    before, after = open_model(best), open_model(output)
    blank = before.specification.blank
    changed = {key for key in after.arrays if (after.arrays[key] != before.arrays[key]).any()}
    assert changed <= {name}
    change = after.arrays[name] - before.arrays[name]
    assert change[blank] == pytest.approx(-float(chosen[0]), abs=1e-5)
    assert not np.delete(change, blank).any()
    utterances = read_manifest(dev)[:8]
    streamed = validate(after, utterances, reset_stats=True, decoding=Decoding(head=head)).wer
    assert 100 * streamed == pytest.approx(float(chosen[1]), abs=0.01)


def test_a_single_penalty_is_taken_as_it_is_and_adds_to_the_one_before(
    best: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    once, twice = tmp_path / "once.pt", tmp_path / "twice.pt"
    of_ctc = tmp_path / "of-ctc.pt"
    for source, output, penalty, *head in (
        (best, once, "1.5"),
        (once, of_ctc, "2", "--head", "ctc"),
        (of_ctc, twice, "-0.5"),
    ):
        arguments = [str(source), "--manifest", "none.jsonl", "--output", str(output), *head]
        assert blank_penalty.main([*arguments, "--penalties", penalty]) == 0
    assert capsys.readouterr().out == ""
    notes = checkpoint.load(twice)["notes"]
    assert notes["training"]["blank_penalty"] == 1.0
    assert notes["training"]["ctc_blank_penalty"] == 2.0
    assert notes["wer"] == {}


def test_what_cannot_be_a_penalty_is_refused(
    best: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = [str(best), "--manifest", "none.jsonl", "--output", str(tmp_path / "x.pt")]
    with pytest.raises(SystemExit) as ended:
        blank_penalty.main([*arguments, "--penalties", "nan"])
    assert ended.value.code == 2
    assert "want finite numbers" in capsys.readouterr().err
    assert not (tmp_path / "x.pt").exists()
