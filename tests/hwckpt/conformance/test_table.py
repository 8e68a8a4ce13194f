"""The table of vector files: what is written from it, what a set lacks, and the list of hashes."""

from __future__ import annotations

import json
import shutil
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hwckpt.conformance import table
from hwckpt.conformance.comparison import VectorError
from hwckpt.conformance.table import HASHES, OPTIONAL, check_set, kinds, missing_files, write_set
from tests.hwckpt.conformance.vector_files import arrays
from tests.places import VECTORS

pytest.importorskip("torch")


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("vectors")
    write_set(folder, seed=0)
    return folder


def alike(a: Any, b: Any) -> bool:
    """Whether contents are equal, but for floats: other CPUs round otherwise."""
    if isinstance(a, dict) and isinstance(b, dict):
        return a.keys() == b.keys() and all(alike(a[key], b[key]) for key in a)
    if isinstance(a, list) and isinstance(b, list):
        return len(a) == len(b) and all(map(alike, a, b))
    if isinstance(a, float) and isinstance(b, float):
        return a == pytest.approx(b, abs=1e-5)
    return bool(a == b)


@pytest.mark.slow
def test_the_shipped_set_is_that_of_seed_0(written: Path) -> None:
    shipped = {path.name for path in VECTORS.iterdir()} - {"README.md"}
    assert {path.name for path in written.iterdir()} == shipped
    for path in sorted(written.glob("*.json")):
        assert alike(
            json.loads(path.read_text("utf-8")), json.loads((VECTORS / path.name).read_text())
        )
    for path in sorted(written.glob("*.npz")):
        with np.load(path) as new, np.load(VECTORS / path.name) as old:
            assert set(new.files) == set(old.files)
            for key in new.files:
                if new[key].dtype.kind == "f":  # other CPUs round otherwise
                    np.testing.assert_allclose(new[key], old[key], rtol=1e-4, atol=1e-4)
                else:
                    np.testing.assert_array_equal(new[key], old[key])


@pytest.mark.slow
def test_another_seed_gives_other_vectors_that_pass_too(tmp_path: Path, written: Path) -> None:
    write_set(tmp_path, seed=7)
    for name, key in (("ewma_a0.05.npz", "out_a"), ("train_grad_v1.14.0.npz", "logits")):
        with np.load(tmp_path / name) as new, np.load(written / name) as old:
            assert not np.array_equal(new[key], old[key])
    for name in ("text_v1.4.0.json", "text_v1.14.0.json"):
        assert (tmp_path / name).read_bytes() != (written / name).read_bytes()
    failed = [line for line in check_set(tmp_path) if line.row.verdict == "FAIL"]
    assert not failed


@pytest.mark.slow
def test_without_torch_a_file_is_the_same_and_training_is_left_out(
    tmp_path: Path, written: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(table, "installed", lambda package: False)
    files = write_set(tmp_path, seed=0)
    left_out = {path.name for path in written.iterdir()} - {path.name for path in files}
    assert left_out >= {
        "loss_single.npz",
        "schedules.npz",
        "train_grad_v1.14.0.npz",
        "text_v1.4.0.json",
    }
    for path in tmp_path.glob("*.npz"):
        assert path.read_bytes() == (written / path.name).read_bytes(), path.name


def test_files_have_the_arrays_of_golden_files_of_the_same_name(golden: Path) -> None:
    names = {path.name for path in VECTORS.glob("*.npz")} & {path.name for path in golden.iterdir()}
    assert len(names) > 70
    for name in sorted(names):
        with np.load(golden / name) as file:
            wanted = {
                key: (file[key].dtype.kind, file[key].ndim)
                for key in file.files
                if not key.rsplit("_", 1)[-1].isdigit()  # as many utterances as there are
            }
        ours = {
            key: (value.dtype.kind, value.ndim) for key, value in arrays(VECTORS / name).items()
        }
        assert {key: ours.get(key) for key in wanted} == wanted, name
    # Parts of the decoders, of the sampling of manifests, and of latencies that Rill does not have.
    missing = {
        "text_v1.4.0.json": set(),
        "text_v1.14.0.json": {"trim", "state_reset_merge", "segmenting_info", "keyword_trie"}
        | {"client_word_timestamps", "manifest_ratios"},
    }
    for name, without in missing.items():
        wanted_parts, parts = (
            json.loads((folder / name).read_text("utf-8")) for folder in (golden, VECTORS)
        )
        assert wanted_parts.keys() - parts.keys() == without


def test_subjects_that_cannot_be_imported_have_their_patterns_in_the_table() -> None:
    from hwckpt.conformance import gradients, text, training

    wanted = {kind.pattern for kind in (*gradients.KINDS, *training.KINDS, *text.KINDS)}
    assert {pattern for patterns in OPTIONAL.values() for pattern in patterns} == wanted


def test_every_file_of_ours_is_recognised_by_the_kind_that_writes_it() -> None:
    files = [(name, kind) for kind in kinds() for name in kind.files]
    assert len(files) == len(dict(files)) == 129
    assert all(fnmatch(name, kind.pattern) for name, kind in files)


def test_the_shipped_set_is_complete_and_a_lost_file_is_named(tmp_path: Path) -> None:
    assert missing_files(VECTORS) == []
    folder = tmp_path / "set"
    shutil.copytree(VECTORS, folder)
    (folder / "ema_step.npz").unlink()
    assert missing_files(folder) == ["ema_step.npz"]


@pytest.fixture
def listed(tmp_path: Path) -> Path:
    """A folder of one file and the list of its hash."""
    shutil.copy(VECTORS / "melmat.npz", tmp_path)
    lines = (VECTORS / HASHES).read_text().splitlines(keepends=True)
    (tmp_path / HASHES).write_text(next(line for line in lines if line.endswith("melmat.npz\n")))
    return tmp_path


def test_a_file_that_is_not_the_listed_one_fails(listed: Path) -> None:
    assert [line.row.verdict for line in check_set(listed) if line.row.stage == "sha256"] == ["ok"]
    np.savez(listed / "melmat.npz", **arrays(listed / "melmat.npz"))  # uncompressed
    failed = [line for line in check_set(listed) if line.row.verdict == "FAIL"]
    assert [(line.file, line.row.stage) for line in failed] == [("melmat.npz", "sha256")]


def test_a_listed_file_that_is_not_there_is_missing(listed: Path) -> None:
    with (listed / HASHES).open("a") as file:
        file.write(f"{'0' * 64}  ewma_mine.npz\n")
    assert "ewma_mine.npz" in missing_files(listed)


def test_a_list_that_is_none_is_not_understood(listed: Path) -> None:
    (listed / HASHES).write_text("melmat.npz\n")
    with pytest.raises(VectorError, match="SHA256SUMS:1: wants a SHA-256 and the name of a file"):
        list(check_set(listed))
