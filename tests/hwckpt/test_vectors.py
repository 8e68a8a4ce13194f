"""Vectors are a function of the seed, and the shipped ones are what the command writes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from hwckpt.conformance import run
from hwckpt.vectors import write_vectors
from stream.bundled import model_path

pytest.importorskip("torch")

VECTORS = Path(__file__).parents[1] / "vectors"


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("vectors")
    write_vectors(folder, (model_path() / "tokenizer.model").read_bytes(), seed=0)
    return folder


def test_the_shipped_set_is_that_of_seed_0(written: Path) -> None:
    shipped = {path.name for path in VECTORS.iterdir()} - {"README.md"}
    assert {path.name for path in written.iterdir()} == shipped
    for path in sorted(written.glob("*.npz")):
        with np.load(path) as new, np.load(VECTORS / path.name) as old:
            assert set(new.files) == set(old.files)
            for key in new.files:
                if new[key].dtype.kind == "f":  # other CPUs round otherwise
                    np.testing.assert_allclose(new[key], old[key], rtol=1e-4, atol=1e-4)
                else:
                    np.testing.assert_array_equal(new[key], old[key])


def test_another_seed_gives_other_vectors_that_pass_too(tmp_path: Path, written: Path) -> None:
    write_vectors(tmp_path, (model_path() / "tokenizer.model").read_bytes(), seed=7)
    with np.load(tmp_path / "ewma_a0.05.npz") as new, np.load(written / "ewma_a0.05.npz") as old:
        assert not np.array_equal(new["out_a"], old["out_a"])
    failed = [line for line in run(tmp_path) if line.row.verdict == "FAIL"]
    assert not failed
