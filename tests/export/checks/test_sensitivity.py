"""Which layers int8 and integers fail by: the one made hard is named first, and float mends it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import msgspec
import pytest

pytest.importorskip("onnx", reason="needs onnx: pip install 'rill-asr[train]'")

from export.build import build
from export.checks.precision import Baseline
from export.checks.sensitivity import PrecisionError, int8_error
from export.model_directory import export
from export.onnx.__main__ import main
from export.onnx.ranges import Ranges
from stream.bundled import model_path, recordings
from stream.model import directory
from stream.model.network import Network, open_model
from tests.tiny import quantised


def hard_to_quantise(*layers: str) -> Network:
    """Return the bundled model, not for integers, with outliers in layers at an input that is always 0.

    Float32 says what it said; int8 has no steps left for the other weights of the layer.
    """
    network = open_model(model_path())
    arrays = {name: array.copy() for name, array in network.arrays.items()}
    if "encoder.pre.1" in layers:
        unit, size = 7, network.specification.hidden
        for kind in ("weight_ih", "weight_hh"):  # the gate o of the layer before is closed
            arrays[f"encoder.pre.0.{kind}"][3 * size + unit] = 0.0
        arrays["encoder.pre.0.bias_ih"][3 * size + unit] = -100.0
        arrays["encoder.pre.1.weight_ih"][:, unit] = 300.0
    if "joint.output" in layers:
        arrays["joint.encoder.bias"][7] = -1000.0  # and the ReLU of the joint
        arrays["joint.output.weight"][:, 7] = 300.0
    plain = msgspec.structs.replace(network.specification, quantisation=None)
    return replace(network, specification=plain, arrays=arrays, path=None)


def write(path: Path, network: Network) -> str:
    directory.write(network, path, {})
    return str(path)


@pytest.fixture(autouse=True)
def few_recordings(monkeypatch: pytest.MonkeyPatch) -> None:
    """Verify and measure on two of the bundled recordings, for speed."""
    for name in ("export.model_directory", "export.checks.verification"):
        monkeypatch.setattr(f"{name}.recordings", lambda: recordings()[-2:])


@pytest.mark.parametrize("layer", ["encoder.pre.1", "joint.output"])
def test_the_layer_with_an_outlier_is_named_first_and_is_mended_in_float(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], layer: str
) -> None:
    given = write(tmp_path / "given", hard_to_quantise(layer))
    command = ["--ckpt", given, "--output", str(tmp_path / "new" / "model")]
    assert main(command) == 1
    said = capsys.readouterr().err
    assert "points lost, 0.3 may be" in said and "Nothing was written." in said
    rows = [line.split()[0] for line in said.splitlines() if line.startswith("    ")]
    assert rows[0] == layer and len(rows) == 8
    assert f"With --float-layers {layer}: WER of 2 recordings" in said
    assert "the model's own: --manifest" in said
    assert [path.name for path in tmp_path.iterdir()] == ["given"]

    for layers in (layer, "auto"):
        assert main([*command, "--float-layers", layers]) == 0
        said, warned = capsys.readouterr()
        assert f"-> 0.00 %, 0.00 % of the words change; in float: {layer}" in said
        assert (f"With --float-layers {layer}" in warned) == (layers == "auto")
        open_model(tmp_path / "new" / "model")


def test_a_refusal_leaves_the_older_model(tmp_path: Path) -> None:
    output = tmp_path / "model"
    export(open_model(model_path()), output, int8=False)
    before = {file.name: file.read_bytes() for file in output.iterdir()}
    with pytest.raises(PrecisionError) as error:
        export(hard_to_quantise("joint.output"), output)
    assert next(iter(error.value.layers)) == "joint.output"
    assert error.value.float_layers == ("joint.output",)
    assert {file.name: file.read_bytes() for file in output.iterdir()} == before
    assert list(tmp_path.iterdir()) == [output]


def test_integers_that_lose_too_much_are_refused_by_the_weights_of_their_layers(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    given = write(tmp_path / "given", quantised(hard_to_quantise("joint.output"), joint=3))
    command = ["--ckpt", given, "--output", str(tmp_path / "model"), "--no-int8"]
    assert main(command) == 1
    said = capsys.readouterr().err
    rows = [line.split()[0] for line in said.splitlines() if line.startswith("    ")]
    assert rows[0] == "joint.output" and len(rows) == 10
    assert "    all weights" in said
    assert "fine-tune the model in them" in said
    assert [path.name for path in tmp_path.iterdir()] == ["given"]


def test_int8_of_a_model_for_integers_is_not_told_to_keep_layers_in_float(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    given = write(tmp_path / "given", quantised(hard_to_quantise("joint.output"), joint=3))
    assert main(["--ckpt", given, "--output", str(tmp_path / "model")]) == 1
    said = capsys.readouterr().err
    assert "One layer in int8, all others in float:\n    joint.output" in said
    assert "or leave int8 out, --no-int8. Nothing" in said and "--float-layers" not in said
    assert [path.name for path in tmp_path.iterdir()] == ["given"]


def test_layers_are_kept_in_float_until_it_is_enough(tmp_path: Path) -> None:
    network = hard_to_quantise("encoder.pre.1", "joint.output")
    directory.write(network, tmp_path / "float", build(network))
    baseline = Baseline(open_model(tmp_path / "float"), recordings()[-2:])
    ranges = Ranges(8.0, 20.0)
    directory.write(network, tmp_path / "int8", build(network, ranges=ranges))
    found = baseline.compare(open_model(tmp_path / "int8"), "int8", "int8")
    assert found.loss > 0.5

    error = int8_error(network, ranges, baseline, 0.003, found, [])
    assert set(list(error.layers)[:2]) == {"encoder.pre.1", "joint.output"}
    assert set(error.float_layers) == {"encoder.pre.1", "joint.output"}

    further = int8_error(network, ranges, baseline, 0.003, found, ["encoder.pre.1"])
    assert "encoder.pre.1" not in further.layers
    assert further.float_layers == ("encoder.pre.1", "joint.output")
