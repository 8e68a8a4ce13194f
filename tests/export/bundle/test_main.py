"""The commands `rill export bundle` and `rill verify`."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from export import verify
from export.bundle import __main__


def test_a_model_is_bundled_verified_and_refused_when_a_byte_changes(
    model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    archive = tmp_path / "tiny.tar.gz"
    assert __main__.main([str(model), "--archive", str(archive)]) == 0
    printed = capsys.readouterr().out
    assert "weights.safetensors  float32 " in printed
    assert hashlib.sha256(archive.read_bytes()).hexdigest() in printed
    for path in (archive, model):
        assert verify.main([str(path)]) == 0
        assert f"{path}: verified" in capsys.readouterr().out
    weights = bytearray((model / "weights.safetensors").read_bytes())
    weights[-1] ^= 1
    (model / "weights.safetensors").write_bytes(weights)
    assert verify.main([str(model)]) == 1
    assert "weights.safetensors is damaged" in capsys.readouterr().err
    assert __main__.main([str(model), "--archive", str(tmp_path / "other.tar.gz")]) == 1
    assert not (tmp_path / "other.tar.gz").exists()


def test_a_model_that_is_too_large_is_not_written(
    model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    options = ["--archive", str(tmp_path / "a.tar.gz"), "--most-mb", "0.01"]
    assert __main__.main([str(model), *options]) == 1
    assert "more than --most-mb 0.01" in capsys.readouterr().err
    assert not (tmp_path / "a.tar.gz").exists()


def test_an_archive_has_a_folder_and_does_not_contain_itself(
    model: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for place, fault in (("a.tar.gz", "is in the model directory"), ("x/a", "there is no folder")):
        with pytest.raises(SystemExit) as error:
            __main__.main([str(model), "--archive", str(model / place)])
        assert error.value.code == 2
        assert fault in capsys.readouterr().err
    assert verify.main([str(model)]) == 0


def test_what_is_not_there_is_an_input_fault(tmp_path: Path) -> None:
    assert verify.main([str(tmp_path / "none")]) == 3
    assert __main__.main([str(tmp_path / "none")]) == 3
