"""Tuning: trials on recordings, and the best weights in the model that they are for."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("google.protobuf")

from stream.bundled import model_path, recordings
from stream.model import directory
from stream.model.network import NgramFile, open_model
from tests.tiny import TEXTS, talking_ctc, tiny_network
from train.lm.__main__ import main


@pytest.fixture
def manifest(tmp_path: Path) -> Path:
    path = tmp_path / "dev.jsonl"
    lines = (
        json.dumps(
            {"audio_filepath": str(each.audio), "text": each.text, "duration": each.duration}
        )
        for each in list(recordings())[:4]
    )
    path.write_text("".join(f"{line}\n" for line in lines))
    return path


@pytest.fixture
def model(tmp_path: Path) -> Path:
    return shutil.copytree(model_path(), tmp_path / "model")


def build(manifest: Path, tokenizer: bytes, output: Path) -> str:
    """Build a language model of the texts of recordings."""
    (model := output.parent / "of.model").write_bytes(tokenizer)
    command = ["build", "--manifest", str(manifest), "--tokenizer", str(model), "--order", "2"]
    assert main([*command, "--output", str(output)]) == 0
    return str(output)


def test_the_best_weights_are_written_into_a_model_directory(
    model: Path, manifest: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    found, network = tmp_path / "found.json", open_model(model)
    command = ["tune", str(model), "--manifest", str(manifest), "--trials", "4", "--search"]
    command += ["seeded", "--json", str(found), "--beam-widths", "2", "4"]
    arpa = build(manifest, network.tokenizer, tmp_path / "lm.arpa")
    assert main([*command, "--ngram", arpa, "--dry-run"]) == 0
    assert open_model(model).ngram is None
    content = json.loads(found.read_text())
    assert len(content["trials"]) == 5  # without the language model, too
    assert {trial["values"]["beam_width"] for trial in content["trials"]} == {2, 4}

    # A model that carries it: its own weights are tried, too, and the best is written in any case.
    binary = Path(build(manifest, network.tokenizer, tmp_path / "lm.binary")).read_bytes()
    carried = NgramFile(binary, 0.3, word_bonus=0.25)
    directory.carry(model, carried, dict)
    assert main(command) == 0
    assert "as it is" in capsys.readouterr().out
    content = json.loads(found.read_text())
    best, network = content["values"], open_model(model)
    assert network.ngram == replace(carried, weight=best["weight"], word_bonus=best["word_bonus"])
    assert network.notes["tuning"]["values"] == best
    assert content["trials"][1]["values"]["weight"] == 0.3
    assert min(trial["wer"] for trial in content["trials"]) == content["wer"]["tuned"]


def test_a_ctc_head_is_tuned_and_a_boost_with_it(
    tmp_path: Path, manifest: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    network = talking_ctc(tiny_network(decoder="ctc"))
    directory.write(network, tmp_path / "tiny", {})
    command = ["tune", str(tmp_path / "tiny"), "--manifest", str(manifest), "--backend", "numpy"]
    command += ["--trials", "3", "--hotwords", "cat", "--allow-unk", "--dry-run"]
    (texts := tmp_path / "texts.txt").write_text("\n".join(TEXTS))
    lm = tmp_path / "lm.binary"
    flags = ["--tokenizer", str(tmp_path / "tiny" / "tokenizer.model"), "--output", str(lm)]
    assert main(["build", "--text", str(texts), *flags]) == 0
    assert main([*command, "--ngram", str(lm), "--beta-min", "0", "--beta-max", "0"]) == 0
    said = capsys.readouterr().out
    assert "boost" in said and "word bonus" not in said


@pytest.mark.slow
@pytest.mark.torch
def test_a_training_checkpoint_is_written_with_what_is_best(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("torch")
    from tests.train.tones import command as training_command
    from train import __main__ as training

    run, dev, output = folder / "runs" / "tune", folder / "dev.jsonl", tmp_path / "tuned.pt"
    settings = "updates=2", "validate_every=2"
    assert training.main(training_command(folder, run, *settings)) == 0
    best = run / "best.pt"
    lm = build(dev, open_model(best).tokenizer, tmp_path / "lm.binary")
    command = ["tune", str(best), "--manifest", str(dev), "--trials", "2", "--limit", "4"]
    command += ["--ngram", lm]
    assert main(command) == 0
    assert "nothing is written" in capsys.readouterr().out
    assert main([*command, "--output", str(output)]) == 0
    before, after = open_model(best), open_model(output)
    assert after.notes["tuning"]["recordings"] == 4
    assert all((after.arrays[name] == array).all() for name, array in before.arrays.items())
    helps = after.notes["tuning"]["wer"]["tuned"] < after.notes["tuning"]["wer"]["beam"]
    assert (after.ngram is not None) == helps


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        ({"--trials": "0"}, "--trials is 0; want 1 or more"),
        ({"--alpha-max": "-1"}, "--alpha-max is -1.0; want 0 or more"),
        ({"--beta-min": "3"}, "--beta-min 3.0 is above --beta-max 2.0"),
        ({"--plot": "a.pdf"}, "it has to end in .svg or .png"),
        ({"--json": "none/a.json"}, "there is no folder none"),
        ({"--output": "a.pt"}, "--output is for a training checkpoint"),
        ({}, "--ngram is missing: the model carries no language model"),
        ({"--hotwords": "a:x"}, "--hotwords: hotwords has the boost 'x'"),
    ],
)
def test_what_cannot_be_done_is_refused_before_anything_is_computed(
    flags: dict[str, Any], message: str, manifest: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["tune", str(model_path()), "--manifest", str(manifest)]
    try:
        assert main([*command, *(word for pair in flags.items() for word in pair)]) == 2
    except SystemExit as ended:
        assert ended.code == 2
    assert message in capsys.readouterr().err
