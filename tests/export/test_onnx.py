"""`python -m export.onnx`: what it writes, and that an exporter broken on purpose is caught."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("onnx", reason="needs onnx: pip install 'rill-asr[train]'")

import export.onnx as module
from export import graphs
from export.onnx import export, main
from export.verification import ExportError
from stream import directory
from stream.backends.onnx import OnnxBackend
from stream.bundled import recordings
from stream.network import Network, open_model
from tests.tiny import tiny_network

build = graphs.build_graphs


def quiet_network(seed: int = 0, **specification: Any) -> Network:
    """Return a random model that emits a token now and then, not as many as a frame may have."""
    network = tiny_network(seed, **specification)
    bias = network.arrays["joint.output.bias"].copy()
    bias[-1] += 1.5
    arrays = {**network.arrays, "joint.output.bias": bias}
    return Network(network.specification, arrays, network.tokenizer, network.notes)


@pytest.fixture(autouse=True)
def two_recordings(monkeypatch: pytest.MonkeyPatch) -> None:
    """Verify on two of the bundled recordings, of a second each, for speed."""
    for name in ("export.onnx", "export.verification"):
        monkeypatch.setattr(f"{name}.recordings", lambda: recordings()[-2:])


def source(path: Path, network: Network) -> Path:
    """Write a model directory without graphs, which `--ckpt` takes as it takes anything."""
    directory.write(network, path, {})
    return path


@pytest.mark.parametrize("activation", ["hard", "soft"])
def test_the_command_writes_a_directory_that_is_the_model(
    tmp_path: Path, activation: str, capsys: pytest.CaptureFixture[str]
) -> None:
    network = quiet_network(activation=activation, alpha=0.01)
    given = source(tmp_path / "given", network)
    output = tmp_path / "new" / "model"
    assert main(["--ckpt", str(given), "--output", str(output)]) == 0
    assert "verified: largest difference" in capsys.readouterr().out
    read = open_model(output)
    assert (read.specification, read.notes) == (network.specification, network.notes)
    assert {file.name for file in output.iterdir()} == {
        "model.json",
        *directory.NAMES - directory.INTEGER,
    }
    assert [path.name for path in output.parent.iterdir()] == ["model"]


def test_a_model_directory_can_be_exported_onto_itself(tmp_path: Path) -> None:
    given = source(tmp_path / "model", quiet_network())
    assert main(["--ckpt", str(given), "--output", str(given)]) == 0
    assert set(directory.GRAPHS) <= {file.name for file in given.iterdir()}
    open_model(given)


def swap_gates(array: Any) -> Any:
    """Exchange the input and forget gates' rows."""
    i, f, g, o = np.split(array, 4)
    return np.concatenate([f, i, g, o])


def zero_one(array: Any) -> Any:
    changed = array.copy()
    changed.flat[np.abs(array).argmax()] = 0.0
    return changed


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("encoder.pre.0.weight_hh", zero_one),
        ("encoder.post.0.weight_ih", swap_gates),
        ("encoder.pre.0.bias_ih", swap_gates),
        ("prediction.lstm.0.bias_hh", swap_gates),
        ("prediction.embedding", zero_one),
        ("joint.encoder.weight", zero_one),
        ("joint.output.bias", zero_one),
    ],
)
def test_a_graph_with_another_weight_is_refused(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    name: str,
    change: Callable[[Any], Any],
) -> None:
    def broken(network: Network, weights: bytes) -> dict[str, bytes]:
        arrays = {**network.arrays, name: change(network.arrays[name])}
        return build(Network(network.specification, arrays, network.tokenizer))

    refused(tmp_path, monkeypatch, broken)
    assert "differs by" in capsys.readouterr().err


def test_graphs_of_the_other_activation_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def broken(network: Network, weights: bytes) -> dict[str, bytes]:
        return build(quiet_network(activation="soft"), weights)

    refused(tmp_path, monkeypatch, broken)
    assert "encoder output differs by" in capsys.readouterr().err


def test_onnx_own_slope_of_the_hard_sigmoid_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    import onnx

    def broken(network: Network, weights: bytes) -> dict[str, bytes]:
        model = onnx.load_from_string(build(network, weights)["encoder.onnx"])
        for node in model.graph.node:
            if node.op_type == "HardSigmoid":
                del node.attribute[:]  # alpha is then 0.2
        return {**build(network, weights), "encoder.onnx": model.SerializeToString()}

    refused(tmp_path, monkeypatch, broken)
    assert "encoder output differs by" in capsys.readouterr().err


def test_a_graph_that_cannot_be_loaded_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def broken(network: Network, weights: bytes) -> dict[str, bytes]:
        return {**build(network, weights), "joint.onnx": b""}

    refused(tmp_path, monkeypatch, broken, status=3)
    assert "joint.onnx cannot be run" in capsys.readouterr().err


def refused(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    broken: Callable[[Network, bytes], dict[str, bytes]],
    status: int = 1,
) -> None:
    """Run the command with a broken exporter: it fails, and no folder but the source is left."""
    given = source(tmp_path / "given", quiet_network())
    monkeypatch.setattr(graphs, "build_graphs", broken)
    assert main(["--ckpt", str(given), "--output", str(tmp_path / "deep" / "model")]) == status
    assert list(tmp_path.iterdir()) == [given]


def test_a_refused_export_leaves_the_older_model(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    output = tmp_path / "model"
    export(quiet_network(seed=5), output)
    before = {file.name: file.read_bytes() for file in output.iterdir()}
    monkeypatch.setattr(graphs, "build_graphs", lambda network, _: build(quiet_network(seed=6)))
    with pytest.raises(ExportError, match="random frames: encoder output differs"):
        export(quiet_network(seed=7), output)
    assert {file.name: file.read_bytes() for file in output.iterdir()} == before


def test_weights_that_are_not_the_models_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(directory, "serialise", lambda _: serialised)
    serialised = directory.safetensors.numpy.save(dict(quiet_network(seed=1).arrays))
    with pytest.raises(ExportError, match="array normaliser.mean is not the model's"):
        export(quiet_network(seed=0), tmp_path / "model")


def test_tokens_that_differ_are_refused_with_the_recording(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = OnnxBackend.join
    monkeypatch.setattr(OnnxBackend, "join", lambda self, f, g: real(self, f, g)[:, ::-1])
    monkeypatch.setattr("export.verification._close", lambda *_: 0.0)
    with pytest.raises(ExportError, match=r"speech-commands-\S+: streamed tokens"):
        export(quiet_network(), tmp_path / "model")


def test_a_model_that_looks_ahead_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    real = OnnxBackend.encode

    def ahead(self: Any, x: Any, state: Any, present: Any = None) -> Any:
        f, state = real(self, x, state, present)
        return f + f.mean(axis=1, keepdims=True), state

    monkeypatch.setattr(OnnxBackend, "encode", ahead)
    given = source(tmp_path / "given", quiet_network())
    assert main(["--ckpt", str(given), "--output", str(tmp_path / "model")]) == 1
    assert "ONNX graph: encoder frame 0 (0.00 s) changes" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == [given]


def test_block_floating_point_is_refused_with_the_reason(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    given = source(tmp_path / "given", quiet_network(number_format="bfp16"))
    assert main(["--ckpt", str(given), "--output", str(tmp_path / "model")]) == 3
    assert "number format is bfp16: run it on the numpy backend" in capsys.readouterr().err


@pytest.mark.parametrize("given", ["nothing.pt", "text.pt"])
def test_what_is_no_model_is_status_3(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], given: str
) -> None:
    (tmp_path / "text.pt").write_text("no model")
    assert main(["--ckpt", str(tmp_path / given), "--output", str(tmp_path / "model")]) == 3
    assert given in capsys.readouterr().err
    assert not (tmp_path / "model").exists()


def test_a_folder_of_something_else_is_not_overwritten(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    given = source(tmp_path / "given", quiet_network())
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis" / "text").write_text("years of work")
    assert main(["--ckpt", str(given), "--output", str(tmp_path / "thesis")]) == 3
    assert "exists and is not a model directory" in capsys.readouterr().err


def test_without_the_package_onnx_the_command_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def missing(name: str) -> Any:
        raise ModuleNotFoundError("No module named 'onnx'", name="onnx")

    given = source(tmp_path / "given", quiet_network())
    network = open_model(given)
    monkeypatch.setattr(module, "open_model", lambda _: network)
    monkeypatch.setattr(module.importlib, "import_module", missing)
    assert main(["--ckpt", str(given), "--output", str(tmp_path / "model")]) == 4
    assert "needs onnx: pip install 'rill-asr[train]'" in capsys.readouterr().err
