"""Training checkpoints: recognised by content, whole or not at all, nothing executed."""

from __future__ import annotations

import os
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")

import msgspec  # noqa: E402

from stream.network import ModelError, open_model  # noqa: E402
from tests.tiny import tiny_network  # noqa: E402
from train import checkpoint  # noqa: E402
from train.model import Transducer  # noqa: E402


def content() -> dict[str, Any]:
    network = tiny_network()
    module = Transducer(network.specification, normalised=True)
    module.initialise(torch.Generator().manual_seed(3))
    return {
        "specification": msgspec.to_builtins(network.specification),
        "averaged": module.state_dict(),
        "mean": network.arrays["normaliser.mean"].tolist(),
        "variance": network.arrays["normaliser.variance"].tolist(),
        "tokenizer": network.tokenizer,
        "notes": {"license": "none", "wer": {"dev": {"all": 0.5}}},
    }


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    path = tmp_path / "best.pt"
    checkpoint.save(content(), path)
    return path


def test_a_checkpoint_opens_as_a_network_of_the_folded_weights(saved: Path) -> None:
    assert checkpoint.recognises(saved)
    network = open_model(saved)
    module = Transducer(network.specification, normalised=True)
    module.load_state_dict(content()["averaged"])
    for name, array in module.arrays().items():
        np.testing.assert_array_equal(network.arrays[name], array)
    np.testing.assert_array_equal(
        network.arrays["normaliser.mean"], tiny_network().arrays["normaliser.mean"]
    )
    assert network.tokenizer == tiny_network().tokenizer
    assert network.notes["license"] == "none"


def test_a_write_that_fails_leaves_the_old_file(saved: Path) -> None:
    before = saved.read_bytes()
    with pytest.raises(Exception, match="pickle"):
        checkpoint.save({**content(), "bad": lambda: None}, saved)
    assert saved.read_bytes() == before


def test_truncated_files_are_refused_wherever_they_end(saved: Path, tmp_path: Path) -> None:
    whole = saved.read_bytes()
    for part in (0, 1, 100, len(whole) // 2, len(whole) - 30):
        path = tmp_path / "cut.pt"
        path.write_bytes(whole[:part])
        assert not checkpoint.recognises(path)
        with pytest.raises(ModelError, match=r"cut.pt"):
            checkpoint.load(path)
        with pytest.raises(ModelError, match=r"cut.pt"):
            open_model(path)


def test_another_version_is_refused_by_name(saved: Path) -> None:
    torch.save({"rill_checkpoint": 7, **content()}, saved)
    with pytest.raises(ModelError, match=r"version 7, this Rill reads 1"):
        checkpoint.load(saved)


@pytest.mark.parametrize("missing", ["specification", "averaged", "mean", "tokenizer", "notes"])
def test_a_missing_part_is_named(saved: Path, missing: str) -> None:
    parts = content()
    del parts[missing]
    checkpoint.save(parts, saved)
    with pytest.raises(ModelError, match=f"a part .* is missing or wrong: '{missing}'"):
        checkpoint.read(saved)


def test_a_pickle_that_calls_os_system_runs_nothing(tmp_path: Path) -> None:
    class Evil:
        def __reduce__(self) -> tuple[Any, tuple[str]]:
            return os.system, (f"touch {tmp_path / 'ran'}",)

    path = tmp_path / "evil.pt"
    torch.save({"rill_checkpoint": 1, "averaged": Evil()}, path)
    with pytest.raises(ModelError, match=r"evil.pt"):
        checkpoint.load(path)
    assert not (tmp_path / "ran").exists()


def test_other_files_are_not_taken_for_checkpoints(tmp_path: Path) -> None:
    path = tmp_path / "x.pt"
    assert not checkpoint.recognises(path)
    assert not checkpoint.recognises(tmp_path)
    torch.save({"weights": torch.zeros(2)}, path)
    assert not checkpoint.recognises(path)
    with zipfile.ZipFile(path, "w") as container:
        container.writestr("readme.txt", "rill_checkpoint")
    assert not checkpoint.recognises(path)
