"""The model directory: a round trip, and every way in which a copy can be damaged."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
import safetensors.numpy
from hypothesis import given, settings
from hypothesis import strategies as st

from stream.model import directory
from stream.model.network import Network, NgramFile, open_model
from stream.model.specification import ModelError
from tests.tiny import tiny_network

GRAPHS = {name: name.encode() for name in directory.GRAPHS}  # their content is not looked at here
FILES = ("model.json", "weights.safetensors", "tokenizer.model", *directory.GRAPHS)


def reseal(path: Path, change: dict[str, Any]) -> None:
    """Change keys of a model.json and make its own hash right again, as a forger would."""
    index = {**json.loads((path / "model.json").read_text()), **change, "sha256": ""}
    content = msgspec.json.format(msgspec.json.encode(index))
    (path / "model.json").write_bytes(directory._seal(content))


@pytest.fixture
def model(tmp_path: Path) -> Path:
    path = tmp_path / "model"
    directory.write(tiny_network(), path, GRAPHS)
    return path


@settings(max_examples=20)
@given(
    seed=st.integers(0, 99),
    layers=st.integers(1, 3),
    hidden=st.integers(1, 9),
    joint=st.integers(1, 9),
    activation=st.sampled_from(["hard", "soft"]),
    alpha=st.floats(0.0, 0.5),
    notes=st.dictionaries(st.text(max_size=9), st.floats(0, 100) | st.text(max_size=9), max_size=3),
)
def test_what_is_written_is_read_back(
    tmp_path_factory: pytest.TempPathFactory, seed: int, notes: dict[str, Any], **fields: Any
) -> None:
    fields["post_layers"] = fields.pop("layers")
    written = tiny_network(seed, **fields)
    written = Network(written.specification, written.arrays, written.tokenizer, notes)
    path = tmp_path_factory.mktemp("round") / "model"
    directory.write(written, path, GRAPHS)
    read = open_model(path)
    assert (read.specification, read.tokenizer) == (written.specification, written.tokenizer)
    assert (read.notes, read.path) == (notes, path)
    for name, array in written.arrays.items():
        np.testing.assert_array_equal(read.arrays[name], array)


@pytest.mark.parametrize("weight", [0.05, None])
def test_an_ngram_model_is_kept_and_listed(tmp_path: Path, weight: float | None) -> None:
    ngram = NgramFile(bytes(range(256)), weight)
    directory.write(replace(tiny_network(), ngram=ngram), tmp_path / "m", GRAPHS)
    files = json.loads((tmp_path / "m" / "model.json").read_text())["files"]
    assert files["ngram.binary"]["sha256"] == hashlib.sha256(ngram.binary).hexdigest()
    assert open_model(tmp_path / "m").ngram == ngram


def test_the_weights_of_an_ngram_model_are_kept(tmp_path: Path) -> None:
    ngram = NgramFile(b"lm", 0.5, word_bonus=-0.25, unknown_penalty=4.0, internal_weight=0.125)
    directory.write(replace(tiny_network(), ngram=ngram), tmp_path / "m", GRAPHS)
    assert open_model(tmp_path / "m").ngram == ngram


@pytest.mark.parametrize("before", [None, NgramFile(b"lm", 0.5), NgramFile(b"other", 0.5)])
def test_a_directory_is_given_an_ngram_model_and_nothing_else(
    tmp_path: Path, before: NgramFile | None
) -> None:
    path = tmp_path / "m"
    directory.write(replace(tiny_network(), ngram=before), path, GRAPHS)
    files = {file.name: file.read_bytes() for file in path.iterdir()}
    ngram = NgramFile(b"lm", 0.75, word_bonus=0.5)
    directory.carry(path, ngram, lambda notes: {**notes, "tuning": "done"})
    read = open_model(path)
    assert read.ngram == ngram
    assert read.notes == {**tiny_network().notes, "tuning": "done"}
    for name in files.keys() - {"model.json", "ngram.binary"}:
        assert (path / name).read_bytes() == files[name]


def test_a_directory_without_an_ngram_model_does_not_speak_of_one(model: Path) -> None:
    keys = json.loads((model / "model.json").read_text()).keys()
    assert list(keys) == ["format", "sha256", "specification", "files", "notes"]
    assert open_model(model).ngram is None


def test_an_ngram_model_of_an_older_directory_goes_when_the_new_model_has_none(
    tmp_path: Path,
) -> None:
    network = tiny_network()
    directory.write(replace(network, ngram=NgramFile(b"lm", 1.0)), tmp_path / "m", GRAPHS)
    directory.write(network, tmp_path / "m", GRAPHS)
    assert open_model(tmp_path / "m").ngram is None
    assert not (tmp_path / "m" / "ngram.binary").exists()


def test_a_directory_can_be_moved(model: Path, tmp_path: Path) -> None:
    moved = model.rename(tmp_path / "elsewhere")
    assert open_model(moved).path == moved


@settings(max_examples=60)
@given(name=st.sampled_from(FILES), place=st.floats(0, 1, exclude_max=True), bit=st.integers(0, 7))
def test_a_flipped_bit_is_named_by_its_file(
    tmp_path_factory: pytest.TempPathFactory, name: str, place: float, bit: int
) -> None:
    path = tmp_path_factory.mktemp("flip") / "model"
    directory.write(tiny_network(), path, GRAPHS)
    content = bytearray((path / name).read_bytes())
    content[int(place * len(content))] ^= 1 << bit
    (path / name).write_bytes(content)
    with pytest.raises(ModelError, match=name):
        open_model(path)


@pytest.mark.parametrize("name", FILES)
def test_every_byte_of_a_file_counts_even_white_space(model: Path, name: str) -> None:
    content = (model / name).read_bytes()
    for changed in (content[:-1], content + b"\n", b"", content.replace(b"o", b"0", 1)):
        if changed != content:
            (model / name).write_bytes(changed)
            with pytest.raises(ModelError, match=name):
                open_model(model)
    (model / name).write_bytes(content)
    open_model(model)


@pytest.mark.parametrize("name", FILES[1:])
def test_a_missing_file_is_named(model: Path, name: str) -> None:
    (model / name).unlink()
    with pytest.raises(ModelError, match=f"{name} is missing; copy the whole folder again"):
        open_model(model)


def test_another_format_version_is_refused(model: Path) -> None:
    reseal(model, {"format": "rill-model/2"})
    with pytest.raises(ModelError, match="format 'rill-model/2', this Rill reads 'rill-model/1'"):
        open_model(model)


@pytest.mark.parametrize("name", ["../secret", "/etc/passwd", "run.py", "sub/encoder.onnx", ""])
def test_an_index_can_name_no_file_but_a_models(model: Path, name: str) -> None:
    files = json.loads((model / "model.json").read_text())["files"]
    reseal(model, {"files": {**files, name: files["tokenizer.model"]}})
    with pytest.raises(ModelError, match="which no model has"):
        open_model(model)


def test_an_index_without_weights_is_refused(model: Path) -> None:
    files = json.loads((model / "model.json").read_text())["files"]
    del files["weights.safetensors"]
    reseal(model, {"files": files})
    with pytest.raises(ModelError, match="does not list .'weights.safetensors'"):
        open_model(model)


def test_a_graph_that_the_index_does_not_list_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "model"
    directory.write(tiny_network(), path, {})
    (path / "encoder.onnx").write_bytes(b"planted")
    with pytest.raises(ModelError, match="encoder.onnx is not listed in model.json"):
        open_model(path)


@pytest.mark.parametrize(
    "change",
    [
        {"specification": {"vocabulary": 20, "hidden": -1}},
        {"specification": {"vocabulary": 20, "heads": 4}},
        {"files": []},
        {"run": "me"},
    ],
    ids=str,
)
def test_an_index_of_another_structure_is_refused(model: Path, change: dict[str, Any]) -> None:
    reseal(model, change)
    with pytest.raises(ModelError, match="model.json is not understood"):
        open_model(model)


@pytest.mark.parametrize(
    "content", [b"", b"[]", b"null", b"{", b"\xff\xfe", b"[" * 100_000, b'{"a": "\xff"}']
)
def test_an_index_that_is_no_json_object_is_refused(model: Path, content: bytes) -> None:
    (model / "model.json").write_bytes(content)
    with pytest.raises(ModelError, match="model.json"):
        open_model(model)


@settings(max_examples=200)
@given(content=st.binary(max_size=300))
def test_no_bytes_for_an_index_crash_the_reader(
    tmp_path_factory: pytest.TempPathFactory, content: bytes
) -> None:
    path = tmp_path_factory.mktemp("bytes")
    (path / "model.json").write_bytes(content)
    with pytest.raises(ModelError, match="model.json"):
        directory.read(path)


def test_weights_of_another_type_are_refused_though_the_hashes_are_right(model: Path) -> None:
    arrays = {name: array.astype(np.float16) for name, array in tiny_network().arrays.items()}
    (model / "weights.safetensors").write_bytes(safetensors.numpy.save(arrays))
    files = json.loads((model / "model.json").read_text())["files"]
    described = msgspec.to_builtins(directory._describe(model / "weights.safetensors"))
    reseal(model, {"files": {**files, "weights.safetensors": described}})
    with pytest.raises(ModelError, match="is float16"):
        open_model(model)


def test_a_folder_of_something_else_is_not_overwritten(tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").write_text("years of work")
    with pytest.raises(ModelError, match="exists and is not a model directory"):
        directory.write(tiny_network(), tmp_path, GRAPHS)
    with pytest.raises(ModelError, match="exists and is not a model directory"):
        directory.write(tiny_network(), tmp_path / "thesis.tex", GRAPHS)
    assert [file.name for file in tmp_path.iterdir()] == ["thesis.tex"]


def test_an_empty_folder_is_as_good_as_none(tmp_path: Path) -> None:
    directory.write(tiny_network(), tmp_path, GRAPHS)
    open_model(tmp_path)


def test_an_older_model_is_replaced_and_its_card_stays(model: Path, tmp_path: Path) -> None:
    (model / "README.md").write_text("a model card")
    directory.write(tiny_network(seed=1), model, {})
    np.testing.assert_array_equal(
        open_model(model).arrays["joint.output.bias"], tiny_network(1).arrays["joint.output.bias"]
    )
    assert sorted(file.name for file in model.iterdir()) == [
        "README.md",
        "model.json",
        "tokenizer.model",
        "weights.safetensors",
    ]
    assert list(tmp_path.iterdir()) == [model]


@pytest.mark.parametrize("place", ["model", "deep/er/model"])
def test_a_trial_that_fails_leaves_what_was_there(tmp_path: Path, place: str) -> None:
    directory.write(tiny_network(), tmp_path / "model", GRAPHS)
    before = sorted(tmp_path.rglob("*"))
    with (
        pytest.raises(RuntimeError, match="broken"),
        directory.writing(tiny_network(1), tmp_path / place, {}) as trial,
    ):
        assert open_model(trial).path == trial
        raise RuntimeError("broken")
    assert sorted(tmp_path.rglob("*")) == before
    open_model(tmp_path / "model")


def test_a_rename_that_fails_brings_the_older_model_back(
    model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, calls = directory.os.rename, []

    def rename(a: Path, b: Path) -> None:
        calls.append(b)
        if len(calls) == 2:  # the new folder's turn
            raise OSError("disk full")
        real(a, b)

    monkeypatch.setattr(directory.os, "rename", rename)
    with pytest.raises(OSError, match="disk full"):
        directory.write(tiny_network(1), model, GRAPHS)
    np.testing.assert_array_equal(
        open_model(model).arrays["joint.output.bias"], tiny_network(0).arrays["joint.output.bias"]
    )
    assert list(model.parent.iterdir()) == [model]


@pytest.mark.parametrize("groups", [(), ("INT8",), ("INTEGER",), ("INT8", "INTEGER")])
def test_int8_and_integer_files_stand_beside_float_graphs_or_not(
    tmp_path: Path, groups: tuple[str, ...]
) -> None:
    beside = {name for group in groups for name in getattr(directory, group)}
    directory.write(tiny_network(), tmp_path / "model", {**GRAPHS, **{n: b"x" for n in beside}})
    assert {*directory.GRAPHS, *beside} <= {file.name for file in (tmp_path / "model").iterdir()}
    open_model(tmp_path / "model")


def test_some_integer_files_or_no_float_graphs_are_not_written(tmp_path: Path) -> None:
    files = dict.fromkeys(sorted(directory.INTEGER), b"x")
    some = {name: content for name, content in files.items() if name.endswith(".onnx")}
    for graphs in (files, {**GRAPHS, **some}, {**GRAPHS, **files, "joint.int8.onnx": b"x"}):
        with pytest.raises(ValueError, match="graphs are .*, want"):
            directory.write(tiny_network(), tmp_path / "model", graphs)
    assert not list(tmp_path.iterdir())


def test_two_of_three_graphs_are_not_written(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"graphs are \['encoder.onnx'\], want"):
        directory.write(tiny_network(), tmp_path / "model", {"encoder.onnx": b""})


def test_another_user_may_read_every_file(model: Path) -> None:
    assert all(file.stat().st_mode & 0o044 for file in model.iterdir())
    assert model.stat().st_mode & 0o055
