"""Which checkpoints a run writes, and what is the best when it goes back."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from tests.train.tones import prepared
from train import checkpoint
from train.checkpoints.resume import Resumed
from train.data.records.recordings import Recordings
from train.run.checkpoint_writer import CheckpointWriter

RECORDINGS = Recordings({"tones": np.array([600.0, 1200.0], np.float32)})


def writer(folder: Path, output: Path, *settings: str, **keys: Any) -> CheckpointWriter:
    run = prepared(folder, output, *settings)
    return CheckpointWriter(output, run.config, run.start, run.learner, RECORDINGS, **keys)


def files(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*.pt"))


def test_the_best_of_each_activation_is_written_when_it_is_better(
    folder: Path, tmp_path: Path
) -> None:
    known = ('data.knows="digits"', 'data.example="one two"')
    own = writer(folder, tmp_path, "model.activation=soft", *known)
    assert own.validated("soft", {"all": 0.5})
    assert not own.validated("soft", {"all": 0.5})
    assert own.validated("hard", {"all": 0.9})
    assert own.best == {"soft": 0.5, "hard": 0.9}
    assert files(tmp_path) == ["best-hard.pt", "best.pt"]
    hard = checkpoint.load(tmp_path / "best-hard.pt")
    assert hard["specification"]["activation"] == "hard"
    assert (hard["notes"]["knows"], hard["notes"]["example"]) == ("digits", "one two")
    assert hard["notes"]["wer"] == {"dev": {"all": 0.9}}
    training = hard["notes"]["training"]
    assert (training["run"], training["updates"], training["hours"]) == (tmp_path.name, 0, 0.5)
    assert training["recordings"]["tones"]["recordings"] == 2
    assert training["seen"] == {} and "before" not in training


def test_all_validated_weights_are_kept_where_it_is_asked_for(folder: Path, tmp_path: Path) -> None:
    own = writer(folder, tmp_path, "keep=true")
    own.best = {"hard": 0.1}
    assert not own.validated("hard", {"all": 0.5})
    assert files(tmp_path) == ["update-000000.pt"]


def test_a_process_that_does_not_write_knows_the_best_too(folder: Path, tmp_path: Path) -> None:
    own = writer(folder, tmp_path, writes=False)
    assert own.validated("hard", {"all": 0.5})
    own.save({})
    assert own.best == {"hard": 0.5}
    assert files(tmp_path) == []


def test_a_milestone_is_what_resuming_needs_and_the_same_file(folder: Path, tmp_path: Path) -> None:
    own = writer(folder, tmp_path, "milestones=[2]")
    for update in (1, 2):
        own.learner.update = update
        own.save({"totals": {"seconds": 3.0}})
    assert files(tmp_path) == [
        "last.pt",
        "milestones/update-000002.pt",
        "resumable/update-000001.pt",
        "resumable/update-000002.pt",
    ]
    milestone = tmp_path / "milestones" / "update-000002.pt"
    assert milestone.samefile(tmp_path / "last.pt")
    content = checkpoint.load(milestone)
    assert content["totals"] == {"seconds": 3.0}
    assert {"update", "objective", "optimiser", "config", "wers", "best"} <= content.keys()


def test_of_a_run_that_goes_back_the_better_one_of_a_later_update_stays_the_best(
    folder: Path, tmp_path: Path
) -> None:
    own = writer(folder, tmp_path)
    own.validated("hard", {"all": 0.25})
    content = {"best": {"hard": 0.5}}
    own.go_on(Resumed(tmp_path / "last.pt", content))
    assert own.best == {"hard": 0.5}
    own.go_on(Resumed(tmp_path / "resumable" / "update-000001.pt", content))
    assert own.best == {"hard": 0.25}
