"""What the notes of a checkpoint say of the runs that made it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from stream.model import directory
from stream.model.network import open_model
from tests.train.tones import command
from train import __main__, checkpoint
from train.compute.ranks import Ranks
from train.config.file import load_config
from train.data.records.record import Origin
from train.data.rows import Batch
from train.run.provenance import Seen, by_corpus, settings

AN4, SYNTHETIC = Origin("an4", "BSD"), Origin("synthetic-en", "Apache-2.0")


def batch(seen: dict[Origin, int]) -> Batch:
    none = np.zeros((1, 0))
    return Batch(none.astype(np.float32), *[none.astype(np.int64)] * 3, seen=seen)


def counted(*batches: Sequence[Batch]) -> Seen:
    seen = Seen(Ranks())
    for of_update in batches:
        seen.add(of_update)
    return seen


def test_hours_are_those_of_all_batches_by_corpus_with_licences_and_what_is_synthetic() -> None:
    hour = 3600 * 16000
    more = batch({Origin("an4", "CC BY 4.0"): hour // 2})
    seen = counted(
        [batch({AN4: hour, SYNTHETIC: 2 * hour}), more], [batch({AN4: hour, Origin(): 9})]
    )
    assert by_corpus(seen.state(), ["synthetic-en"]) == {
        "an4": {"hours": 2.5, "licenses": ["BSD", "CC BY 4.0"]},
        "synthetic-en": {"hours": 2.0, "licenses": ["Apache-2.0"], "synthetic": True},
        "unnamed": {"hours": 0.0, "licenses": []},
    }


def test_counting_goes_on_from_a_checkpoint_on_the_first_rank_alone() -> None:
    content = {"update": 7, "seen": counted([batch({AN4: 5})]).state()}
    totals = []
    for rank in (0, 1):
        seen = Seen(Ranks(rank))
        seen.go_on(content)
        seen.add([batch({AN4: 2})])
        totals.append(seen.state()["samples"])
    assert totals == [[["an4", "BSD", 7]], [["an4", "BSD", 2]]]


def test_a_run_of_an_older_rill_says_from_where_it_is_counted() -> None:
    seen = Seen(Ranks())
    seen.go_on({"update": 700})
    assert seen.state() == {"since": 700, "samples": []}


def test_settings_are_what_differs_from_the_defaults(folder: Path) -> None:
    config = load_config(folder / "run.toml", ["seed=3", "batches.weights={tones=2.0}"])
    found = settings(config)
    assert (found["seed"], found["batches.weights.tones"], found["model.hidden"]) == (3, 2.0, 16)
    assert found["data.train"] == [str(folder / "train.jsonl")]
    assert "keep" not in found and "optimiser.rate" not in found


def training(model: Path) -> dict[str, Any]:
    notes: dict[str, Any] = checkpoint.load(model)["notes"]["training"]
    return notes


def test_a_model_knows_the_runs_that_made_it(folder: Path, tmp_path: Path) -> None:
    first, second, third = (tmp_path / name for name in ("soft", "hard", "end"))
    synthetic = 'data.synthetic=["tones"]'
    assert __main__.main(command(folder, first, "updates=2", "validate_every=2", synthetic)) == 0
    network = open_model(first / "best.pt")
    directory.write(network, tmp_path / "model", {})
    plain = "updates=3", "validate_every=3", "freeze_norms_from=1"
    start = ["--init-from", str(tmp_path / "model")]
    assert __main__.main([*command(folder, second, *plain), *start]) == 0
    start = ["--init-from", str(second / "best.pt")]
    assert __main__.main([*command(folder, third, *plain), *start]) == 0
    last = training(third / "last.pt")
    soft, hard = last["before"]
    assert [stage["run"] for stage in (soft, hard, last)] == ["soft", "hard", "end"]
    assert [stage["updates"] for stage in (soft, hard, last)] == [2, 3, 3]
    assert soft["seen"]["tones"]["synthetic"] and "synthetic" not in hard["seen"]["tones"]
    assert soft == network.notes["training"] and "before" not in hard
    weights = (tmp_path / "model" / "weights.safetensors").read_bytes()
    assert hard["parent"] == hashlib.sha256(weights).hexdigest()
    assert (
        last["settings_sha256"] == hashlib.sha256((third / "config.json").read_bytes()).hexdigest()
    )

    # Resumed, it still knows them, without the model that it started from.
    (second / "best.pt").unlink()
    longer = command(folder, third, "updates=5", *plain[1:])
    assert __main__.main([*longer, "--change"]) == 0
    resumed = training(third / "last.pt")
    assert resumed["before"] == last["before"] and resumed["parent"] == last["parent"]
    assert resumed["seen"]["tones"]["hours"] > last["seen"]["tones"]["hours"]
    assert json.loads((third / "config.json").read_text())["updates"] == 5


def test_a_corpus_that_is_not_there_cannot_be_synthetic(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    settings = 'data.synthetic=["synthetic-en"]', f'data.cache_folder="{tmp_path}/cache"'
    for cache in ("memory", "none"):
        options = *settings, f"data.cache={cache}"
        assert __main__.main(command(folder, tmp_path / "run", *options)) == 2
        message = "data.synthetic has ['synthetic-en']; the corpora are ['tones']"
        assert message in capsys.readouterr().err
