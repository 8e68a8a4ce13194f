"""Tokenizer and statistics that a run makes of its training set: once, and used from then on."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch")

from hwckpt.conversion import read_statistics as read_tensors
from stream.model.network import open_model
from stream.vocabulary import Vocabulary
from tests.train.run.corpus import minimal_command, minimal_settings
from train import __main__, checkpoint
from train.config.file import load_config
from train.config.run import Config
from train.run import derived


def config_of(minimal: Path, *settings: str) -> Config:
    return load_config(minimal, minimal_settings(minimal, *settings))


def test_five_lines_train_a_model(
    minimal: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    lazy = "data.cache=none", "data.workers=1"
    assert __main__.main(minimal_command(minimal, tmp_path / "run", *lazy)) == 0
    said = capfd.readouterr().err
    made = tmp_path / "run" / "tokenizer.model"
    pieces = Vocabulary(made.read_bytes()).pieces
    assert f"tokenizer: {len(pieces)} pieces, made of 12 texts: {made}" in said
    assert f"statistics: measured on 0.1 minutes: {tmp_path / 'run' / 'statistics.npz'}" in said
    network = open_model(tmp_path / "run" / "best.pt")
    assert network.tokenizer == made.read_bytes()
    assert network.specification.window == 320
    with np.load(tmp_path / "run" / "statistics.npz") as file:
        np.testing.assert_array_equal(network.arrays["normaliser.mean"], file["mean"])


def test_what_was_made_is_taken_again(
    minimal: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = config_of(minimal)
    first = derived.tokenizer_of(config, tmp_path), derived.statistics_of(config, tmp_path)
    times = [path.stat().st_mtime_ns for path in sorted(tmp_path.iterdir())]
    capsys.readouterr()
    again = derived.tokenizer_of(config, tmp_path), derived.statistics_of(config, tmp_path)
    assert capsys.readouterr().err == (
        f"tokenizer: {tmp_path / 'tokenizer.model'}, made before\n"
        f"statistics: {tmp_path / 'statistics.npz'}, measured before\n"
    )
    assert again[0] == first[0]
    np.testing.assert_array_equal(again[1], first[1])
    assert [path.stat().st_mtime_ns for path in sorted(tmp_path.iterdir())] == times


def test_without_a_folder_nothing_is_written(minimal: Path, tmp_path: Path) -> None:
    config = config_of(minimal)
    assert derived.tokenizer_of(config, None) == derived.tokenizer_of(config, tmp_path)
    np.testing.assert_array_equal(
        derived.statistics_of(config, None), derived.statistics_of(config, tmp_path)
    )


def test_a_tokenizer_has_the_pieces_that_are_asked_for_and_that_losses_want(minimal: Path) -> None:
    config = config_of(minimal, "data.pieces=22", "loss.eos_penalty=0.1", "loss.star=<STAR>")
    pieces = Vocabulary(derived.tokenizer_of(config, None)).pieces
    assert len(pieces) == 22
    assert {"<EOS>", "<STAR>"} <= set(pieces)


def test_of_many_texts_some_are_drawn_the_same_each_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(derived, "TEXTS", 100)
    texts = [str(n) for n in range(10_000)]
    drawn = derived._drawn(iter(texts))
    assert drawn == derived._drawn(iter(texts))
    assert len(set(drawn)) == 100
    assert 4000 < np.mean([int(text) for text in drawn]) < 6000


def test_statistics_of_myrtles_are_read_from_their_folder(minimal: Path, golden: Path) -> None:
    config = config_of(minimal, f"data.statistics={golden / 'stats_v1.14.0'}")
    np.testing.assert_array_equal(
        derived.statistics_of(config, None), read_tensors(golden / "stats_v1.14.0")
    )


def test_the_ngram_of_a_hardware_checkpoint_survives_a_fine_tune(
    minimal: Path, tmp_path: Path, golden: Path
) -> None:
    source = golden / "hwckpt_v1.14.0.pt"
    network = open_model(source)
    assert network.ngram is not None
    spec = network.specification
    sizes = {
        name: getattr(spec, name)
        for name in (
            "hidden", "pre_layers", "post_layers", "prediction_layers", "prediction_hidden", "joint",
            "window", "alpha", "initial_padding", "activation",
        )
    }  # fmt: skip
    settings = [f"model.{key}={str(value).lower()}" for key, value in sizes.items()]
    command = minimal_command(minimal, tmp_path, *settings, "freeze_norms_from=1")
    assert __main__.main([*command, "--init-from", str(source)]) == 0
    for name in ("best.pt", "last.pt"):
        assert checkpoint.read(tmp_path / name).ngram == network.ngram
    assert __main__.main([*command, "--set", "updates=3", "--change"]) == 0
    assert checkpoint.read(tmp_path / "last.pt").ngram == network.ngram
