"""The conformance command: exit status and table, on our own vectors and on damaged ones."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from hwckpt.conformance import __main__ as conformance
from hwckpt.conformance import comparison
from tests.places import VECTORS

SMALL = ("ewma_a0.05.npz", "logmel_v1.4_silence.npz", "lstm_hard_1layer.npz", "melmat.npz")


def run(folder: Path, capsys: pytest.CaptureFixture[str], *flags: str) -> tuple[int, str, str]:
    status = conformance.main([str(folder), *flags])
    captured = capsys.readouterr()
    return status, captured.out, captured.err


@pytest.fixture
def few(tmp_path: Path) -> Path:
    folder = tmp_path / "few"
    folder.mkdir()
    for name in SMALL:
        shutil.copy(VECTORS / name, folder)
    return folder


@pytest.mark.slow
def test_our_own_vectors_pass_on_every_backend(capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("torch")
    status, out, _ = run(VECTORS, capsys, "--json")
    rows = [json.loads(line) for line in out.splitlines()]
    assert status == 0, [row for row in rows if row["verdict"] == "FAIL"]
    passed = {(row["file"].split("_")[0], row["backend"]) for row in rows if row["verdict"] == "ok"}
    for stage, backends in {
        "logmel": ("numpy", "torch"),
        "ewma": ("numpy", "torch"),
        "bfp16": ("numpy", "torch"),
        "lstm": ("numpy", "torch", "onnx"),
        "transducer": ("numpy", "torch", "onnx"),
        "integer": ("fixed", "integer", "integer-onnx"),
        "pcm": ("numpy", "onnx"),
        "beam": ("numpy", "onnx"),
        "state": ("numpy", "onnx"),
        "fuzzy": ("numpy",),
        "keywords": ("numpy",),
        "loss": ("torch",),
        "lamb": ("torch",),
    }.items():
        for backend in backends:
            assert (stage, backend) in passed


@pytest.mark.slow
def test_the_golden_vectors_pass(golden: Path, capsys: pytest.CaptureFixture[str]) -> None:
    status, out, _ = run(golden, capsys)
    assert status == 0, [line for line in out.splitlines() if "FAIL" in line]
    checked = {line.split("_")[0] for line in out.splitlines() if " ok" in line}
    assert checked >= {"beam", "fuzzy", "keywords", "ngram", "state", "pcm", "transducer"}


@pytest.mark.parametrize(
    ("name", "key"),
    [("ewma_a0.05.npz", "out_a"), ("lstm_hard_1layer.npz", "hn"), ("melmat.npz", None)],
)
def test_one_changed_value_fails_and_its_file_is_named(
    few: Path, name: str, key: str | None, capsys: pytest.CaptureFixture[str]
) -> None:
    with np.load(few / name) as file:
        arrays = {k: file[k] for k in file.files}
    key = key or next(k for k, v in arrays.items() if v.ndim == 2)
    arrays[key].flat[arrays[key].size // 2] += 0.01
    np.savez(few / name, **arrays)
    status, out, err = run(few, capsys)
    assert status == 1
    failed = [line for line in out.splitlines() if "FAIL" in line]
    assert failed
    assert all(line.startswith(name) for line in failed)
    last = out.partition("\nfailures\n")[2].splitlines()
    assert last
    assert all("FAIL" in line and " at (" in line for line in last)
    assert "FAIL" in err


def test_nan_where_a_number_is_wanted_fails(few: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with np.load(few / "ewma_a0.05.npz") as file:
        arrays = {k: file[k] for k in file.files}
    arrays["out_a"].flat[0] = np.nan
    np.savez(few / "ewma_a0.05.npz", **arrays)
    assert run(few, capsys)[0] == 1


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("holiday.npz", b""),
        ("ewma_cut.npz", b"PK\x03\x04"),
        ("ewma_empty.npz", b""),
        ("hwckpt_broken.pt", b"nothing"),
        ("text_x.json", b"{"),
        ("beam_x.json", b"[]"),
        ("beam_lonely.json", b'{"cases": []}'),
        ("keywords_x.json", b'{"keywords": {"": 1.0}}'),
        ("ngram_scores_x.json", b"\xff"),
    ],
)
def test_a_file_that_is_not_understood_is_named_with_status_3(
    few: Path, name: str, content: bytes, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("torch")
    (few / name).write_bytes(content)
    status, _, err = run(few, capsys)
    assert status == 3
    assert name in err


def test_a_missing_array_is_named_with_status_3(
    few: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    np.savez(few / "ewma_a0.05.npz", unknown=np.zeros(3))
    status, _, err = run(few, capsys)
    assert status == 3
    assert "ewma_a0.05.npz: has no array" in err


def test_no_folder_and_no_files_are_errors(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(tmp_path / "none", capsys)[0] == 2
    status, _, err = run(tmp_path, capsys)
    assert (status, "no vector files" in err) == (3, True)


def test_a_backend_that_is_not_installed_is_listed_as_skipped(
    few: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(comparison, "installed", lambda package: package == "numpy")
    status, out, err = run(few, capsys)
    assert status == 0
    assert "skipped" in out
    assert "skipped" in err


def test_json_lines_carry_every_column(few: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("torch")
    status, out, _ = run(few, capsys, "--json")
    assert status == 0
    rows = [json.loads(line) for line in out.splitlines()]
    assert {row["file"] for row in rows} == set(SMALL)
    for row in rows:
        assert row["schema"] == "rill.conformance/1"
        assert row["largest"] <= row["allowed"]
        assert row["verdict"] == "ok"


def test_a_file_is_a_line_under_column_heads(few: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("torch")
    status, out, err = run(few, capsys)
    assert status == 0
    head, *lines = out.splitlines()
    assert head.split() == ["file", "backends", "largest", "allowed", "result"]
    assert [line.split()[0] for line in lines] == list(SMALL)
    assert lines[2].split()[1] == "numpy,torch,onnx"
    assert lines[2].endswith("11 ok")
    assert err.endswith("ok\n")


def test_a_set_that_lacks_files_is_called_incomplete(
    few: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    status, _, err = run(few, capsys)
    assert status == 0
    assert f"incomplete: {few} lacks " in err
    assert "integer_joint.npz" in err
    assert "melmat.npz" not in err


def test_progress_is_shown_on_a_terminal(
    few: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stderr.isatty", lambda: True)
    _, out, err = run(few, capsys)
    assert "\r2/4 logmel_v1.4_silence.npz" in err
    assert "\r" not in out
