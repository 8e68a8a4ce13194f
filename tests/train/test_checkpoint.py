"""Training checkpoints: recognised by content, whole or not at all, nothing executed."""

from __future__ import annotations

import os
import pickle
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")

import msgspec

from stream.model.network import open_model
from stream.model.specification import ModelError
from tests.tiny import tiny_network
from train import checkpoint
from train.model import Transducer


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


def test_what_is_saved_is_loaded_bit_for_bit(tmp_path: Path) -> None:
    tensors = {
        "float32": torch.tensor([[0.1, -0.0], [torch.inf, torch.nan]]),
        "bfloat16": torch.tensor([1e-40, 3.0]).bfloat16(),
        "int64": torch.tensor(2**62),
        "strided": torch.arange(6.0).view(2, 3).t(),
        "empty": torch.zeros(0, 4),
    }
    plain = {
        "numbers": [1, -(2**70), 0.1, float("inf"), True, None],
        "text": "naïve \N{SNOWMAN}",
        "bytes": bytes(range(256)),
        "nested": {"a": {1: [], "b": {}}},
    }
    checkpoint.save({**plain, "tensors": tensors}, tmp_path / "x.pt")
    loaded = checkpoint.load(tmp_path / "x.pt")
    for name, value in tensors.items():
        got = loaded["tensors"][name]
        assert got.dtype == value.dtype
        torch.testing.assert_close(got, value, rtol=0, atol=0, equal_nan=True)
    assert {k: v for k, v in loaded.items() if k in plain} == plain
    assert loaded.keys() == {*plain, "tensors", "rill_checkpoint"}


def test_a_loaded_checkpoint_saves_as_the_same_bytes(saved: Path) -> None:
    before = saved.read_bytes()
    checkpoint.save(checkpoint.load(saved), saved)
    assert saved.read_bytes() == before


def test_a_write_that_fails_leaves_the_old_file(saved: Path) -> None:
    before = saved.read_bytes()
    with pytest.raises(Exception, match="pickle"):
        checkpoint.save({**content(), "bad": lambda: None}, saved)
    assert saved.read_bytes() == before
    checkpoint.save(content(), saved)  # what the failed one left behind is in nobody's way
    assert sorted(path.name for path in saved.parent.iterdir()) == ["best.pt"]


def test_the_file_is_whole_and_on_disk_before_it_takes_its_name(
    saved: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before, events = saved.read_bytes(), []
    sync, replace = os.fsync, Path.replace

    def synced(descriptor: int) -> None:
        events.append(("sync", os.fstat(descriptor).st_size))
        sync(descriptor)

    def replaced(source: Path, target: Path) -> Path:
        assert saved.read_bytes() == before
        assert checkpoint.load(source)["notes"] == {"new": 1}
        events.append(("replace", source.stat().st_size))
        return replace(source, target)

    monkeypatch.setattr(os, "fsync", synced)
    monkeypatch.setattr(Path, "replace", replaced)
    checkpoint.save({"notes": {"new": 1}}, saved)
    size = saved.stat().st_size
    assert events == [("sync", size), ("replace", size)]


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


@pytest.mark.parametrize("version", ["1", None, 0, 1.5])
def test_a_version_that_is_not_ours_is_refused(saved: Path, version: object) -> None:
    torch.save({"rill_checkpoint": version, **content()}, saved)
    with pytest.raises(ModelError, match=rf"best.pt: is a checkpoint of version {version}, this"):
        open_model(saved)


@pytest.mark.parametrize(
    "other",
    [[1, 2], "rill_checkpoint", None, {}, {"state_dict": {}}, {0: 1}, torch.zeros(3)],
    ids=["list", "string", "none", "empty", "dictionary", "numbered", "tensor"],
)
def test_what_torch_saved_of_something_else_is_refused(tmp_path: Path, other: object) -> None:
    path = tmp_path / "other.pt"
    torch.save(other, path)
    with pytest.raises(ModelError, match=r"other.pt: is not a training checkpoint"):
        checkpoint.load(path)


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"none.pt: .*No such file"):
        checkpoint.load(tmp_path / "none.pt")


@pytest.mark.parametrize(
    ("part", "value"),
    [
        ("specification", None),
        ("specification", {}),
        ("specification", {"vocabulary": 20, "colour": 3}),
        ("averaged", None),
        ("averaged", {}),
        ("averaged", [1.0]),
        ("mean", "abc"),
        ("mean", {}),
        ("mean", [0.0]),
        ("mean", [[1.0], [1.0, 2.0]]),
        ("mean", [float("nan")] * 80),
        ("variance", [0.0] * 80),
        ("tokenizer", None),
        ("tokenizer", "text"),
        ("tokenizer", b"no model"),
        ("notes", None),
    ],
)
def test_a_part_of_the_wrong_kind_is_an_error_of_the_file(
    saved: Path, part: str, value: object
) -> None:
    checkpoint.save({**content(), part: value}, saved)
    with pytest.raises(ModelError) as caught:
        open_model(saved)
    assert str(caught.value).startswith(f"{saved}: ")
    assert str(caught.value).count(str(saved)) == 1


def test_weights_of_other_sizes_are_named(saved: Path) -> None:
    parts = content()
    parts["specification"]["joint"] = 7
    checkpoint.save(parts, saved)
    with pytest.raises(ModelError, match=r"(?s)missing or wrong.*joint_encoder.weight"):
        checkpoint.read(saved)


@pytest.mark.parametrize("missing", ["specification", "averaged", "mean", "tokenizer", "notes"])
def test_a_missing_part_is_named(saved: Path, missing: str) -> None:
    parts = content()
    del parts[missing]
    checkpoint.save(parts, saved)
    with pytest.raises(ModelError, match=f"a part .* is missing or wrong: '{missing}'"):
        checkpoint.read(saved)


@pytest.mark.parametrize("container", ["zip", "legacy", "bare"])
@pytest.mark.parametrize("call", [os.system, os.mkdir, eval, exec], ids=lambda call: call.__name__)
def test_a_pickle_that_calls_something_runs_nothing(
    tmp_path: Path, call: Any, container: str
) -> None:
    ran = tmp_path / "ran"
    argument = {
        os.system: f"touch {ran}",
        os.mkdir: str(ran),
        eval: f"__import__('os').mkdir({str(ran)!r})",
        exec: f"import os; os.mkdir({str(ran)!r})",
    }[call]

    class Evil:
        def __reduce__(self) -> tuple[Any, tuple[str]]:
            return call, (argument,)

    path = tmp_path / "evil.pt"
    evil = {"rill_checkpoint": 1, "averaged": Evil()}
    if container == "bare":
        path.write_bytes(pickle.dumps(evil))
    else:
        torch.save(evil, path, _use_new_zipfile_serialization=container == "zip")
    for opened in (checkpoint.load, open_model):
        with pytest.raises(ModelError, match=r"evil.pt"):
            opened(path)
        assert not ran.exists()


def test_a_whole_module_in_a_pickle_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "module.pt"
    torch.save({"rill_checkpoint": 1, "averaged": torch.nn.Linear(2, 2)}, path)
    with pytest.raises(ModelError, match=r"module.pt: not a readable training checkpoint"):
        checkpoint.load(path)


def test_other_files_are_not_taken_for_checkpoints(tmp_path: Path) -> None:
    path = tmp_path / "x.pt"
    assert not checkpoint.recognises(path)
    assert not checkpoint.recognises(tmp_path)
    torch.save({"weights": torch.zeros(2)}, path)
    assert not checkpoint.recognises(path)
    with zipfile.ZipFile(path, "w") as container:
        container.writestr("readme.txt", "rill_checkpoint")
    assert not checkpoint.recognises(path)


@pytest.mark.parametrize("damage", ["compressed data", "encrypted", "unknown method"])
def test_a_damaged_zip_is_not_taken_for_a_checkpoint(tmp_path: Path, damage: str) -> None:
    path = tmp_path / "x.pt"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as container:
        container.writestr("x/data.pkl", b"rill_checkpoint" * 100)
    assert checkpoint.recognises(path)
    content = bytearray(path.read_bytes())
    directory = content.index(b"PK\x01\x02")
    if damage == "compressed data":
        start = 30 + len("x/data.pkl")
        content[start : start + 8] = b"\xff" * 8
    elif damage == "encrypted":
        content[6] |= 1
        content[directory + 8] |= 1
    else:
        content[8] = content[directory + 10] = 99
    path.write_bytes(content)
    assert not checkpoint.recognises(path)
    with pytest.raises(ModelError, match=r"x.pt"):
        checkpoint.load(path)
