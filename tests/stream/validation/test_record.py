"""Figures that a model directory keeps of itself."""

from __future__ import annotations

import json
import threading
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from hwckpt.writer import from_network, write_checkpoint
from stream import validate
from stream.engine.selftest import Plan
from stream.model import directory
from stream.model.network import open_model
from tests.server.scripted import pcm, samples_of, talking_network


@pytest.fixture
def flags(tmp_path: Path) -> list[str]:
    """A model and a manifest of two recordings."""
    directory.write(talking_network(), tmp_path / "model", {})
    lines = []
    for i, text in enumerate(("a cat", "ten hats")):
        soundfile.write(tmp_path / f"{i}.flac", samples_of(pcm(0.8, i)), 16_000)
        line = {"audio_filepath": f"{i}.flac", "text": text, "duration": 0.8, "corpus": f"c{i}"}
        lines.append(json.dumps(line) + "\n")
    (tmp_path / "dev.jsonl").write_text("".join(lines))
    return ["--manifest", str(tmp_path / "dev.jsonl"), "--backend", "numpy", "--reset-stats"]


def notes(tmp_path: Path) -> dict[str, Any]:
    return dict(open_model(tmp_path / "model").notes)


def test_a_validation_is_kept_and_the_next_of_its_kind_replaces_it(
    flags: list[str], tmp_path: Path
) -> None:
    model = ["--model", str(tmp_path / "model"), "--record"]
    before = json.loads((tmp_path / "model" / "model.json").read_text())
    report = tmp_path / "report.json"
    assert validate.main([*model, *flags, "--json", str(report)]) == 0
    (kept,) = notes(tmp_path)["evaluations"]
    found = json.loads(report.read_text())
    for name in ("words", "substitutions", "deletions", "insertions", "wer", "cer"):
        assert kept[name] == found[name]
    assert kept["corpora"].keys() == {"c0", "c1"}
    assert kept["corpora"]["c0"]["words"] == 2
    assert (kept["data_set"], kept["recordings"], kept["backend"]) == ("dev", 2, "numpy")
    assert (kept["artefact"], kept["options"]) == ("model directory", {"reset_stats": True})
    assert notes(tmp_path)["corpus"] == "random"  # what was there

    for more in ([], ["--limit", "1"], ["--state-resets", "both"]):
        assert validate.main([*model, *flags, *more]) == 0
    options = [each["options"] for each in notes(tmp_path)["evaluations"]]
    assert options == [
        {"reset_stats": True, "limit": 1},
        {"reset_stats": True},
        {"reset_stats": True, "state_resets": True},
    ]
    after = json.loads((tmp_path / "model" / "model.json").read_text())
    assert after["files"] == before["files"]
    assert after["specification"] == before["specification"]


def test_capacity_is_kept_for_each_machine_and_length_of_chunk(
    flags: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    plan = Plan("numpy", 1, 30, 1_000_000, 0.0123, (), ())
    monkeypatch.setattr(validate, "self_test", lambda *_: plan)
    model = ["--model", str(tmp_path / "model"), "--record", "--capacity", "--limit", "1"]
    for _ in range(2):
        assert validate.main([*model, *flags]) == 0
    assert "30 channels with numpy on 1 thread(s)" in capsys.readouterr().out
    (kept,) = notes(tmp_path)["capacity"]
    assert (kept["chunk_ms"], kept["streams"], kept["late_ms"]) == (60, 30, 12.3)
    assert kept["cores"] >= 1 and kept["machine"]


def test_options_are_kept_as_they_were_given_but_for_the_folders_of_this_machine(
    flags: list[str], tmp_path: Path
) -> None:
    (tmp_path / "words.arpa").write_text(
        "\\data\\\nngram 1=3\n\n\\1-grams:\n-1.0\t<unk>\n-99\t<s>\n-1.0\t</s>\n\n\\end\\\n"
    )
    model = ["--model", str(tmp_path / "model"), "--record", "--final-padding", "0.3"]
    beam = ["--decoder", "beam", "--ngram", str(tmp_path / "words.arpa"), "--ngram-weight", "0.25"]
    assert validate.main([*model, *beam, *flags]) == 0
    (kept,) = notes(tmp_path)["evaluations"]
    assert kept["options"] == {
        "reset_stats": True,
        "final_padding": 0.3,
        "decoder": "beam",
        "ngram": "words.arpa",
        "ngram_weight": 0.25,
    }


def test_the_rows_of_scenarios_are_kept(flags: list[str], tmp_path: Path) -> None:
    model = ["--model", str(tmp_path / "model"), "--record"]
    plain = [flag for flag in flags if flag != "--reset-stats"]
    assert validate.main([*model, *plain, "--scenario", "telephone"]) == 0
    (kept,) = notes(tmp_path)["scenarios"]
    assert [row["name"] for row in kept["rows"]] == [
        "as they are", "8 kHz", "G.711, mu-law", "G.711, A-law",
    ]  # fmt: skip
    assert kept["rows"][1]["words"] == 4 and kept["options"] == {}


def test_a_checkpoint_of_the_same_weights_is_kept_in_the_directory(
    flags: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    network = open_model(tmp_path / "model")
    write_checkpoint(from_network(network, "1.4"), tmp_path / "card.pt")
    model = ["--model", str(tmp_path / "card.pt"), "--record"]
    assert validate.main([*model, *flags]) == 2
    assert "card.pt is not a model directory; name one with --record DIR" in capsys.readouterr().err
    assert validate.main([*model, str(tmp_path / "model"), *flags]) == 0
    assert notes(tmp_path)["evaluations"][0]["artefact"] == "hardware checkpoint"

    arrays = {**network.arrays, "joint.output.bias": network.arrays["joint.output.bias"] + 1}
    other = replace(network, arrays={k: np.asarray(v, np.float32) for k, v in arrays.items()})
    directory.write(other, tmp_path / "other", {})
    assert validate.main([*model, str(tmp_path / "other"), *flags]) == 2
    assert "its joint.output.bias differs" in capsys.readouterr().err


def test_processes_that_note_at_once_lose_nothing(tmp_path: Path) -> None:
    path = tmp_path / "model"
    directory.write(talking_network(), path, {})

    def noting(name: str) -> None:
        for n in range(20):
            directory.note(path, lambda notes, n=n: {**notes, f"{name}{n}": n})  # type: ignore[misc]

    threads = [threading.Thread(target=noting, args=(name,)) for name in ("a", "b")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert {f"{name}{n}" for name in "ab" for n in range(20)} < set(open_model(path).notes)
