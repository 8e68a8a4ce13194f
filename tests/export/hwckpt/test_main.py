"""`python -m export.hwckpt`: what it writes, what it refuses, and what it measures."""

from __future__ import annotations

import dataclasses
import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from export.hwckpt import checkpoint as module
from export.hwckpt.__main__ import main
from export.hwckpt.target import Refusal, choose
from hwckpt.reader import CheckpointError, network_of, read, read_checkpoint
from hwckpt.writer import from_network, write_checkpoint
from stream.bundled import recordings
from stream.front_end.filterbank import Filterbank
from stream.front_end.log_mel import CARD_FLOOR
from stream.manifest import Utterance, read_manifest
from stream.model import directory
from stream.model.network import Network, NgramFile
from stream.model.quantisation import Quantisation
from stream.model.specification import ModelError
from stream.validation import validate
from tests.tiny import tiny_network

SOFT: dict[str, Any] = {
    "activation": "soft",
    "alpha": 0.0,
    "initial_padding": True,
    "final_padding": 3840,
    "symbol_counter": "running",
}
MIXED: dict[str, Any] = {"activation": "soft", "alpha": 0.001}  # of no generation


@pytest.fixture
def written(tmp_path: Path) -> Any:
    """Call it with a network: it writes the model directory `best`, and returns the flags to read it."""

    def write(network: Network) -> list[str]:
        directory.write(network, tmp_path / "best", {})
        return ["--ckpt", str(tmp_path / "best")]

    return write


def error_rate(network: Network, utterances: list[Utterance]) -> str:
    return f"{validate(network, utterances, backend='numpy', reset_stats=True).wer:.2%}"


@pytest.mark.parametrize(("specification", "version"), [({}, "1.4.0"), (SOFT, "1.14.0")])
def test_the_format_is_the_one_whose_arithmetic_is_the_model_s(
    written: Any, tmp_path: Path, specification: dict[str, Any], version: str, capsys: Any
) -> None:
    network = tiny_network(**{"floor": CARD_FLOOR, **specification})
    assert main(written(network)) == 0
    assert f"version {version}" in capsys.readouterr().out
    path = tmp_path / "best.hw.pt"
    assert read_checkpoint(path).version == version
    assert read(path).specification == network.specification
    assert sorted(p.name for p in tmp_path.iterdir()) == ["best", "best.hw.pt"]


@pytest.mark.parametrize(
    ("specification", "options", "message"),
    [
        ({}, ["--format", "1.14"], "hard activations.*1.14 computes something else.*it is 1.4"),
        (SOFT, ["--format", "1.4"], "soft activations.*1.4 computes something else.*it is 1.14"),
        (MIXED, [], "neither generation computes this"),
        ({**SOFT, "number_format": "bfp16"}, [], "bfp16: neither generation computes this"),
        (MIXED, ["--format", "1.4"], "soft activations, EWMA.*add --convert --manifest"),
        (SOFT, ["--melalpha", "0.1"], "--melalpha is 0.1; generation 1.14 wants 0"),
        ({}, ["--melalpha", "1.5"], "wants at least 0 and below 1"),
    ],
)
def test_a_change_of_arithmetic_is_refused(
    written: Any,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    specification: dict[str, Any],
    options: list[str],
    message: str,
) -> None:
    with pytest.raises(Refusal, match=message):
        format, alpha = "--format" in options, "--melalpha" in options
        choose(
            tiny_network(**specification),
            options[1] if format else None,  # type: ignore[arg-type]
            alpha=float(options[1]) if alpha else None,
        )
    assert main([*written(tiny_network(**specification)), *options]) == 2
    assert "best: " in capsys.readouterr().err
    assert [p.name for p in tmp_path.iterdir()] == ["best"]


@pytest.mark.parametrize("decoder", ["ctc", "both"])
def test_a_model_with_a_ctc_head_is_refused(written: Any, capsys: Any, decoder: str) -> None:
    network = tiny_network(floor=CARD_FLOOR, decoder=decoder)
    assert main(written(network)) == 2
    said = f"decoder is {decoder}; hardware checkpoints have no ctc"
    assert said in capsys.readouterr().err
    with pytest.raises(CheckpointError, match=said):
        from_network(network, "1.4")


def test_frames_that_no_card_has_are_refused(written: Any, capsys: Any) -> None:
    network = tiny_network(filterbank=Filterbank(mel="learned", spectrum="magnitude"))
    assert main([*written(network), "--format", "1.4"]) == 3
    said = "in this model the mel is learned and the mel is of the magnitude spectrum"
    assert said in capsys.readouterr().err
    with pytest.raises(ModelError, match=said):
        from_network(network, "1.4")


def test_converting_without_a_manifest_is_a_bad_command_line(written: Any) -> None:
    with pytest.raises(SystemExit) as caught:
        main([*written(tiny_network()), "--format", "1.14", "--convert"])
    assert caught.value.code == 2


@pytest.mark.parametrize(
    ("specification", "format", "alpha"),
    [
        ({}, "1.14", 0.0),
        (SOFT, "1.4", 0.001),
        (MIXED, "1.4", 0.001),
        ({**SOFT, "number_format": "bfp16"}, "1.14", 0.0),
    ],
)
def test_converting_prints_the_error_rate_before_and_after(
    written: Any,
    manifest: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    specification: dict[str, Any],
    format: str,
    alpha: float,
) -> None:
    network = tiny_network(**{"floor": CARD_FLOOR, **specification})
    options = ["--format", format, "--convert", "--manifest", str(manifest)]
    assert main([*written(network), *options]) == 0
    out, utterances = capsys.readouterr().out, read_manifest(manifest)
    assert f"WER {error_rate(network, utterances)} as it is, on 2 utterances" in out
    got = read(tmp_path / "best.hw.pt")
    rate = error_rate(got, utterances)
    assert f"WER {rate} under generation {format}, on the card" in out
    assert (got.specification.generation, got.specification.alpha) == (format, alpha)


def test_another_log_floor_is_a_warning_with_both_error_rates(
    written: Any,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    network, utterances = tiny_network(), recordings()[-2:]
    monkeypatch.setattr(module, "recordings", lambda: utterances)  # not all, for speed
    assert main(written(network)) == 0
    captured = capsys.readouterr()
    assert "log floor is 1.19209e-07, the card's is 1e-20" in captured.err
    rate = error_rate(network, utterances)
    assert f"WER {rate} as it is, on 2 utterances of the bundled recordings" in captured.out
    card = read(tmp_path / "best.hw.pt")
    assert card.specification.floor == CARD_FLOOR
    assert f"WER {error_rate(card, utterances)} under generation 1.4" in captured.out


def test_a_model_for_integers_is_written_as_floats_with_a_warning(
    written: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    network = tiny_network(floor=CARD_FLOOR, quantisation=Quantisation(joint=4))
    assert main(written(network)) == 0
    assert "the model is for integers" in capsys.readouterr().err
    assert read(tmp_path / "best.hw.pt").specification.quantisation is None


def test_melalpha_replaces_the_model_s(written: Any, tmp_path: Path) -> None:
    argv = written(tiny_network(floor=CARD_FLOOR))
    assert main([*argv, "--melalpha", "0.01", "--output", str(tmp_path / "x")]) == 0
    assert read_checkpoint(tmp_path / "x").melalpha == 0.01


def test_a_hardware_checkpoint_keeps_its_provenance(tmp_path: Path) -> None:
    source = tmp_path / "a.pt"
    network = dataclasses.replace(tiny_network(**SOFT), ngram=NgramFile(b"lm", 0.1))
    write_checkpoint(from_network(network, "1.14", epoch=3, step=9, best_wer=0.2), source)
    assert main(["--ckpt", str(source), "--output", str(tmp_path / "b.pt")]) == 0
    again = read_checkpoint(tmp_path / "b.pt")
    assert (again.epoch, again.step, again.best_wer) == (3, 9, 0.2)
    assert network_of(again).ngram == network.ngram


def test_an_ngram_model_that_the_generation_has_not_is_left_out_and_said(
    written: Any, manifest: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    network = dataclasses.replace(
        tiny_network(**SOFT, floor=CARD_FLOOR), ngram=NgramFile(b"lm", 0.1)
    )
    argv = [*written(network), "--format", "1.4", "--convert", "--manifest", str(manifest)]
    assert main(argv) == 0
    assert "n-gram model is left out: generation 1.4 has none" in capsys.readouterr().err
    assert read(tmp_path / "best.hw.pt").ngram is None


def test_a_failed_verification_deletes_the_file_and_keeps_the_old_one(
    written: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    def broken(checkpoint: Any) -> Network:
        network = network_of(checkpoint)
        arrays = {**network.arrays, "joint.output.bias": np.ones(21, np.float32)}
        return dataclasses.replace(network, arrays=arrays)

    monkeypatch.setattr(module, "network_of", broken)
    (tmp_path / "best.hw.pt").write_bytes(b"old")
    assert main(written(tiny_network(floor=CARD_FLOOR))) == 1
    assert "joint.output.bias; deleted" in capsys.readouterr().err
    assert (tmp_path / "best.hw.pt").read_bytes() == b"old"
    assert sorted(p.name for p in tmp_path.iterdir()) == ["best", "best.hw.pt"]


def test_golden_files_are_exported_again(golden: Path, tmp_path: Path) -> None:
    for version in ("1.4.0", "1.14.0"):
        source, output = golden / f"hwckpt_v{version}.pt", tmp_path / f"{version}.pt"
        assert main(["--ckpt", str(source), "--output", str(output)]) == 0
        assert read_checkpoint(output).version == version
        assert read(output).specification == read(source).specification


def test_a_file_that_is_no_model_is_status_3(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "f").write_text("no model")
    assert main(["--ckpt", str(tmp_path / "f")]) == 3
    assert main(["--ckpt", str(tmp_path / "none")]) == 3
    assert "no such model" in capsys.readouterr().err


def test_a_model_that_looks_ahead_is_refused(
    written: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    encoder = module.encoding_by

    def ahead(backend: Any) -> Any:
        return lambda x: encoder(backend)(x)[:, ::-1]

    monkeypatch.setattr(module, "encoding_by", ahead)
    assert main(written(tiny_network(floor=CARD_FLOOR))) == 3
    assert "best: encoder frame 0" in capsys.readouterr().err
    assert [p.name for p in tmp_path.iterdir()] == ["best"]


def test_a_manifest_that_is_not_there_is_status_3(
    written: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    argv = written(tiny_network(floor=CARD_FLOOR))
    assert main([*argv, "--manifest", str(tmp_path / "m.jsonl")]) == 3
    assert "m.jsonl" in capsys.readouterr().err
    assert [p.name for p in tmp_path.iterdir()] == ["best"]


def test_the_error_rates_are_measured_on_real_recordings(
    written: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    noise = np.random.default_rng(0).normal(0.0, 0.1, 8000)
    soundfile.write(tmp_path / "noise.wav", noise, 16_000)
    line = {"audio_filepath": "noise.wav", "text": "the cat sat", "duration": 0.5}
    (tmp_path / "m.jsonl").write_text(json.dumps(line))
    options = ["--format", "1.14", "--convert", "--manifest", str(tmp_path / "m.jsonl")]
    assert main([*written(tiny_network()), *options]) == 0
    found = re.findall(r"WER ([0-9.]+)% (as it is|under generation 1.14)", capsys.readouterr().out)
    assert [where for _, where in found] == ["as it is", "under generation 1.14"]
    (tmp_path / "noise.wav").write_bytes(b"no audio")
    assert main([*written(tiny_network()), *options]) == 3
