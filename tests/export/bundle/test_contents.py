"""What a model directory that is passed on may hold."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from export.bundle.contents import check, report, total
from stream.bundled import model_path
from stream.errors import DifferenceError
from stream.model import directory


def test_files_are_listed_with_their_arithmetic_and_bytes() -> None:
    """Of the bundled model, which has all arithmetics."""
    files = check(model_path())
    by_name = {file.name: file for file in files}
    index = json.loads((model_path() / "model.json").read_text())["files"]
    assert by_name.keys() == {*index, "model.json", "README.md"}
    for name, about in index.items():
        assert by_name[name].size == about["size"]
    assert by_name["encoder.int8.onnx"].arithmetic == "int8"
    assert by_name["weights.integer.safetensors"].arithmetic == "integers"
    assert by_name["joint.onnx"].arithmetic == "float32"
    assert by_name["tokenizer.model"].arithmetic == "shared"
    *lines, sums = report(files)
    assert len(lines) == len(files)
    assert sums.startswith(f"{total(files) / 1e6:.2f} MB in {len(files)} files: float32 ")


def test_a_damaged_missing_or_additional_file_or_a_link_is_named(model: Path) -> None:
    def fault() -> str:
        with pytest.raises(DifferenceError) as error:
            check(model)
        return str(error.value)

    extra = model / "notes.txt"
    extra.write_text("")
    assert f"{extra}: is not a file of a model" in fault()
    extra.unlink()
    (model / "README.md").unlink()
    (model / "README.md").symlink_to("/etc/hostname")
    assert "README.md: is a link" in fault()
    (model / "README.md").unlink()
    check(model)  # a card need not be there

    graph = model / "joint.onnx"
    content = graph.read_bytes()
    graph.write_bytes(content[:-1] + b"?")
    assert "joint.onnx is damaged" in fault()
    graph.unlink()
    assert "joint.onnx is missing" in fault()
    graph.write_bytes(content)
    (model / "model.json").unlink()
    assert "has no model.json" in fault()


def test_a_graph_that_cannot_be_opened_is_named(model: Path) -> None:
    graphs = {name: (model / name).read_bytes() for name in directory.GRAPHS}
    network = directory.read(model)
    directory.write(network, model, {**graphs, "prediction.onnx": b"no graph"})
    with pytest.raises(DifferenceError, match="prediction.onnx"):
        check(model)
