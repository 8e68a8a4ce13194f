from __future__ import annotations

import dataclasses
import json
import re
import types
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
import soundfile

import export.hwckpt as module
from export.hwckpt import Refusal, VerificationError, main, target, verify
from hwckpt.reader import CheckpointError, network_of, read, read_checkpoint
from hwckpt.writer import from_network, write_checkpoint
from stream.front_end.log_mel import CARD_FLOOR
from stream.model.network import Network, NgramFile
from stream.model.quantisation import Quantisation
from tests.tiny import tiny_network

SOFT: dict[str, Any] = {
    "activation": "soft",
    "alpha": 0.0,
    "initial_padding": True,
    "final_padding": 3840,
}
MIXED: dict[str, Any] = {"activation": "soft", "alpha": 0.001}  # of no generation


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Any:
    """Call it with a network: `--ckpt best.pt` is then that network."""
    path = tmp_path / "best.pt"

    def use(network: Network) -> list[str]:
        path.touch()
        monkeypatch.setattr(module, "open_model", lambda _: network)
        return ["--ckpt", str(path)]

    return use


@pytest.fixture
def rates(monkeypatch: pytest.MonkeyPatch) -> list[Network]:
    """Replace validation: the WER is 10 % for the first network asked about, 20 % for the next."""
    asked: list[Network] = []

    def validate(network: Network, utterances: list[Any], **options: Any) -> Any:
        assert options == {"backend": "numpy", "reset_stats": True}
        asked.append(network)
        return types.SimpleNamespace(wer=len(asked) / 10)

    monkeypatch.setattr(module, "recordings", lambda: ["bundled"])
    monkeypatch.setattr(module, "validate", validate)
    monkeypatch.setattr(module, "read_manifest", lambda path: ["first", "second"])
    return asked


@pytest.mark.parametrize(("specification", "version"), [({}, "1.4.0"), (SOFT, "1.14.0")])
def test_the_format_is_the_one_whose_arithmetic_is_the_model_s(
    opened: Any, tmp_path: Path, specification: dict[str, Any], version: str, capsys: Any
) -> None:
    network = tiny_network(**{"floor": CARD_FLOOR, **specification})
    assert main(opened(network)) == 0
    assert f"version {version}" in capsys.readouterr().out
    path = tmp_path / "best.hw.pt"
    assert read_checkpoint(path).version == version
    assert read(path).specification == network.specification
    assert sorted(p.name for p in tmp_path.iterdir()) == ["best.hw.pt", "best.pt"]


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
    opened: Any,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    specification: dict[str, Any],
    options: list[str],
    message: str,
) -> None:
    with pytest.raises(Refusal, match=message):
        format, alpha = "--format" in options, "--melalpha" in options
        target(
            tiny_network(**specification),
            options[1] if format else None,  # type: ignore[arg-type]
            alpha=float(options[1]) if alpha else None,
        )
    assert main([*opened(tiny_network(**specification)), *options]) == 2
    assert "best.pt: " in capsys.readouterr().err
    assert [p.name for p in tmp_path.iterdir()] == ["best.pt"]


@pytest.mark.parametrize("decoder", ["ctc", "both"])
def test_a_model_with_a_ctc_head_is_refused(opened: Any, capsys: Any, decoder: str) -> None:
    network = tiny_network(floor=CARD_FLOOR, decoder=decoder)
    assert main(opened(network)) == 2
    said = f"decoder is {decoder}; hardware checkpoints have no ctc"
    assert said in capsys.readouterr().err
    with pytest.raises(CheckpointError, match=said):
        from_network(network, "1.4")


def test_converting_without_a_manifest_is_a_bad_command_line(opened: Any) -> None:
    with pytest.raises(SystemExit) as caught:
        main([*opened(tiny_network()), "--format", "1.14", "--convert"])
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
    opened: Any,
    rates: list[Network],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    specification: dict[str, Any],
    format: str,
    alpha: float,
) -> None:
    network = tiny_network(**{"floor": CARD_FLOOR, **specification})
    options = ["--format", format, "--convert", "--manifest", str(tmp_path / "m.jsonl")]
    assert main([*opened(network), *options]) == 0
    out = capsys.readouterr().out
    assert "WER 10.00% as it is, on 2 utterances" in out
    assert f"WER 20.00% under generation {format}, on the card" in out
    got = read(tmp_path / "best.hw.pt").specification
    assert (got.generation, got.alpha) == (format, alpha)
    assert [asked.specification for asked in rates] == [network.specification, got]


def test_another_log_floor_is_a_warning_with_both_error_rates(
    opened: Any, rates: list[Network], capsys: pytest.CaptureFixture[str]
) -> None:
    network = tiny_network()
    assert main(opened(network)) == 0
    captured = capsys.readouterr()
    assert "log floor is 1.19209e-07, the card's is 1e-20" in captured.err
    assert "WER 10.00% as it is, on 1 utterances of the bundled recordings" in captured.out
    floors = [asked.specification.floor for asked in rates]
    assert floors == [network.specification.floor, CARD_FLOOR]


def test_a_model_for_integers_is_written_as_floats_with_a_warning(
    opened: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    network = tiny_network(floor=CARD_FLOOR, quantisation=Quantisation(joint=4))
    assert main(opened(network)) == 0
    assert "the model is for integers" in capsys.readouterr().err
    assert read(tmp_path / "best.hw.pt").specification.quantisation is None


def test_melalpha_replaces_the_model_s(opened: Any, tmp_path: Path) -> None:
    argv = opened(tiny_network(floor=CARD_FLOOR))
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
    opened: Any, rates: list[Network], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    network = dataclasses.replace(
        tiny_network(**SOFT, floor=CARD_FLOOR), ngram=NgramFile(b"lm", 0.1)
    )
    argv = [*opened(network), "--format", "1.4", "--convert", "--manifest", "m.jsonl"]
    assert main(argv) == 0
    assert "n-gram model is left out: generation 1.4 has none" in capsys.readouterr().err
    assert read(tmp_path / "best.hw.pt").ngram is None


def test_what_was_written_is_compared_and_run(tmp_path: Path) -> None:
    network = tiny_network(floor=CARD_FLOOR)
    checkpoint, path = from_network(network, "1.4"), tmp_path / "f"
    write_checkpoint(checkpoint, path)
    assert verify(path, checkpoint, network).specification == network.specification
    other = dataclasses.replace(checkpoint, step=1)
    with pytest.raises(VerificationError, match="reads back differently: step"):
        verify(path, other, network)
    with pytest.raises(VerificationError, match="differently: .*joint.output.bias"):
        verify(path, checkpoint, tiny_network(1, floor=CARD_FLOOR))


def test_a_model_that_computes_something_else_is_noticed(tmp_path: Path) -> None:
    network = tiny_network(floor=CARD_FLOOR)
    checkpoint, path = from_network(network, "1.4"), tmp_path / "f"
    write_checkpoint(checkpoint, path)
    soft = msgspec.structs.replace(network.specification, activation="soft")
    with pytest.raises(VerificationError, match="other logits than the model, by up to 0"):
        verify(path, checkpoint, dataclasses.replace(network, specification=soft))


def test_a_failed_verification_deletes_the_file_and_keeps_the_old_one(
    opened: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    def broken(checkpoint: Any) -> Network:
        network = network_of(checkpoint)
        arrays = {**network.arrays, "joint.output.bias": np.ones(21, np.float32)}
        return dataclasses.replace(network, arrays=arrays)

    monkeypatch.setattr(module, "network_of", broken)
    (tmp_path / "best.hw.pt").write_bytes(b"old")
    assert main(opened(tiny_network(floor=CARD_FLOOR))) == 1
    assert "joint.output.bias; deleted" in capsys.readouterr().err
    assert (tmp_path / "best.hw.pt").read_bytes() == b"old"
    assert sorted(p.name for p in tmp_path.iterdir()) == ["best.hw.pt", "best.pt"]


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
    opened: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    encoder = module._encoder

    def ahead(backend: Any) -> Any:
        return lambda x: encoder(backend)(x)[:, ::-1]

    monkeypatch.setattr(module, "_encoder", ahead)
    assert main(opened(tiny_network(floor=CARD_FLOOR))) == 3
    assert "best.pt: encoder frame 0" in capsys.readouterr().err
    assert [p.name for p in tmp_path.iterdir()] == ["best.pt"]


def test_a_manifest_that_is_not_there_is_status_3(
    opened: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    argv = opened(tiny_network(floor=CARD_FLOOR))
    assert main([*argv, "--manifest", str(tmp_path / "m.jsonl")]) == 3
    assert "m.jsonl" in capsys.readouterr().err
    assert [p.name for p in tmp_path.iterdir()] == ["best.pt"]


def test_the_error_rates_are_measured_on_real_recordings(
    opened: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    noise = np.random.default_rng(0).normal(0.0, 0.1, 8000)
    soundfile.write(tmp_path / "noise.wav", noise, 16_000)
    line = {"audio_filepath": "noise.wav", "text": "the cat sat", "duration": 0.5}
    (tmp_path / "m.jsonl").write_text(json.dumps(line))
    options = ["--format", "1.14", "--convert", "--manifest", str(tmp_path / "m.jsonl")]
    assert main([*opened(tiny_network()), *options]) == 0
    found = re.findall(r"WER ([0-9.]+)% (as it is|under generation 1.14)", capsys.readouterr().out)
    assert [where for _, where in found] == ["as it is", "under generation 1.14"]
    (tmp_path / "noise.wav").write_bytes(b"no audio")
    assert main([*opened(tiny_network()), *options]) == 3
