from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hwckpt.reader import HardwareCheckpoint
from hwckpt.show import describe, main
from hwckpt.writer import from_network, write_checkpoint
from stream.bundled import model_path
from tests.tiny import tiny_network


def checkpoint(**changes: Any) -> HardwareCheckpoint:
    network = tiny_network(activation="soft", alpha=0.0, initial_padding=True)
    made = from_network(network, "1.14", step=10, best_wer=0.1)
    return dataclasses.replace(made, **changes)


def found(made: HardwareCheckpoint, folder: Path) -> list[str]:
    write_checkpoint(made, folder / "f.pt")
    findings = describe(folder / "f.pt")["findings"]
    assert isinstance(findings, list)
    return findings


def test_a_good_checkpoint_has_nothing_unusual(tmp_path: Path) -> None:
    assert found(checkpoint(), tmp_path) == []


def test_a_golden_file_is_shown(golden: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([str(golden / "hwckpt_v1.4.0.pt")]) == 0
    out = capsys.readouterr().out
    for line in (
        "zip, 1,089,910 bytes, pickle protocol 2, little-endian",
        "version          1.4.0",
        "melalpha         0.001",
        "encoder.pre_rnn.lstm.weight_ih_l0          float32 (192, 240)",
        "79 pieces",
        "28 tensors repeat others",
        "arithmetic of generation 1.4",
    ):
        assert line in out


def test_json_is_one_object_with_a_schema(golden: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([str(golden / "hwckpt_v1.14.0.pt"), "--json"]) == 0
    shown = json.loads(capsys.readouterr().out)
    assert shown["schema"] == "rill.hwckpt.show/1"
    assert shown["container"]["protocol"] == 5
    assert shown["ngram"] == {"bytes": 56830, "scale_factor": 0.05}
    assert len(shown["tokenizer"]["pieces"]) == shown["specification"]["vocabulary"] == 95
    assert shown["findings"] == []


Change = Callable[[HardwareCheckpoint], Mapping[str, Any]]


def changed(key: str, at: int, value: float) -> Change:
    def change(made: HardwareCheckpoint) -> Mapping[str, Any]:
        array = np.array(getattr(made, key))
        array[at] = value
        return {key: array}

    return change


def with_a_float64(made: HardwareCheckpoint) -> Mapping[str, Any]:
    return {"state_dict": {**made.state_dict, "joint_enc.bias": np.full(16, 0.1)}}


@pytest.mark.parametrize(
    ("changes", "finding"),
    [
        (changed("melvars", 79, 1e-6), "bin 79 is dead: mean"),
        (changed("melmeans", 3, -46.05), "bin 3 is dead: mean -46.05"),
        (changed("melvars", 4, float("nan")), "melvars is not finite at [4]"),
        ({"melmeans": np.zeros(80, np.float32)}, "melmeans is all zeros"),
        ({"step": 0}, "step is 0"),
        ({"best_wer": 1_000_000}, "best_wer is 1000000"),
        ({"best_wer": float("nan")}, "best_wer is nan"),
        ({"ngram": None}, "no ngram, which its version has"),
        ({"version": None, "rnnt_config": None, "ngram": None}, "no version: of 1.0 or 1.1"),
        ({"sentpiece_model": b"junk"}, "sentpiece_model: not a SentencePiece model"),
        (with_a_float64, "joint_enc.bias is float64, not float32"),
    ],
)
def test_what_is_unusual_is_found(
    tmp_path: Path, changes: Mapping[str, Any] | Change, finding: str
) -> None:
    given = changes(checkpoint()) if callable(changes) else changes
    assert any(line.startswith(finding) for line in found(checkpoint(**given), tmp_path))


def test_an_unusual_protocol_and_unknown_keys_are_found(tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    write_checkpoint(checkpoint(), tmp_path / "f.pt")
    content = torch.load(tmp_path / "f.pt", weights_only=False)
    torch.save({**content, "colour": 1}, tmp_path / "f.pt", _use_new_zipfile_serialization=False)
    findings = describe(tmp_path / "f.pt")["findings"]
    assert "pickle protocol 2; its version writes another" in findings
    assert "a legacy file, little-endian" in findings
    assert "unknown keys: colour" in findings


def test_another_file_is_status_3(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "f").write_text("no checkpoint")
    assert main([str(tmp_path / "f")]) == 3
    assert main([str(tmp_path / "none")]) == 3
    assert "no such model. Name a model directory or a checkpoint" in capsys.readouterr().err


def test_a_model_directory_is_shown_and_compared(
    golden: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model = str(model_path())
    assert main([model]) == 0
    out = capsys.readouterr().out
    assert "model:\n  language " in out and "\nlast run:\n  run " in out
    assert " MB, all its states and samples in float32\n" in out
    assert main([model, model]) == 0
    assert capsys.readouterr().out == "no difference\n"
    assert main([model, str(golden / "hwckpt_v1.4.0.pt"), "--json"]) == 1
    shown = json.loads(capsys.readouterr().out)
    assert shown["schema"] == "rill.show/1" and shown["path"] == model
    assert shown["network"]["hidden"] == "256 -> 48"
