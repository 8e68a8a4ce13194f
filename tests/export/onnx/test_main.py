"""`python -m export.onnx`: what it writes, and that an exporter broken on purpose is caught."""

from __future__ import annotations

import dataclasses
import io
import json
import sys
import wave
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.numpy

from stream.extras import install_command

pytest.importorskip("onnx", reason="needs onnx: pip install 'rill-asr[train]'")

from export import build as builder
from export.calibration import Calibration
from export.hwckpt.__main__ import main as to_hwckpt
from export.onnx.__main__ import main
from hwckpt.reader import Ngram, read_checkpoint
from hwckpt.writer import write_checkpoint
from stream.backends import load_backend
from stream.backends.onnx import OnnxBackend
from stream.bundled import recordings
from stream.manifest import read_manifest
from stream.model import directory
from stream.model.network import Network, NgramFile, open_model
from stream.validation import validate
from tests.places import VECTORS
from tests.tiny import quantised, quiet_network

build = builder.build


@pytest.fixture(autouse=True)
def two_recordings(monkeypatch: pytest.MonkeyPatch) -> None:
    """Verify on two of the bundled recordings, of a second each, for speed."""
    for name in ("export.model_directory", "export.checks.verification"):
        monkeypatch.setattr(f"{name}.recordings", lambda: recordings()[-2:])


ANY_LOSS = ["--most-loss", "100"]  # random models change what they say with every rounding


def source(path: Path, network: Network) -> Path:
    """Write a model directory without graphs, which `--ckpt` takes as it takes anything."""
    directory.write(network, path, {})
    return path


def test_the_ngram_model_of_a_hardware_checkpoint_is_kept_there_and_back(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    checkpoint = read_checkpoint(VECTORS / "hwckpt_v1.14.0.pt")
    ngram = Ngram(b"of KenLM", 0.05)
    write_checkpoint(dataclasses.replace(checkpoint, ngram=ngram), tmp_path / "given.pt")
    output = tmp_path / "model"
    assert main(["--ckpt", str(tmp_path / "given.pt"), "--output", str(output), "--no-int8"]) == 0
    assert open_model(output).ngram == NgramFile(b"of KenLM", 0.05)
    assert to_hwckpt(["--ckpt", str(output), "--output", str(tmp_path / "back.pt")]) == 0
    back = read_checkpoint(tmp_path / "back.pt")
    assert "ngram" not in back.differences(dataclasses.replace(checkpoint, ngram=ngram))


@pytest.mark.parametrize("activation", ["hard", "soft"])
def test_the_command_writes_a_directory_that_is_the_model(
    tmp_path: Path, activation: str, capsys: pytest.CaptureFixture[str]
) -> None:
    network = quiet_network(activation=activation, alpha=0.01)
    given = source(tmp_path / "given", network)
    output = tmp_path / "new" / "model"
    assert main(["--ckpt", str(given), "--output", str(output), *ANY_LOSS]) == 0
    assert "verified: largest difference" in capsys.readouterr().out
    read = open_model(output)
    assert read.specification == network.specification
    measured = read.notes.pop("export")
    assert read.notes == network.notes
    assert measured["recordings"] == len(recordings()[-2:])
    for name, backend in (("float32", "onnx"), ("int8", "int8")):
        report = validate(read, recordings()[-2:], backend=backend, reset_stats=True)
        assert measured["wer"][name] == report.wer
    assert {file.name for file in output.iterdir()} == {
        "model.json",
        *directory.NAMES - directory.INTEGER - {directory.NGRAM, directory.CTC_GRAPH},
    }
    assert [path.name for path in output.parent.iterdir()] == ["model"]


def test_notes_can_be_added_to_those_of_the_checkpoint(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    given = source(
        tmp_path / "given",
        dataclasses.replace(quiet_network(), notes={"author": "me", "knows": ""}),
    )
    output = tmp_path / "model"
    flags = ["--no-int8", "--note", "knows=digits = numbers", "--note", "example=one two"]
    assert main(["--ckpt", str(given), "--output", str(output), *flags]) == 0
    wanted = {"author": "me", "knows": "digits = numbers", "example": "one two"}
    assert open_model(output).notes == wanted
    with pytest.raises(SystemExit) as exit_:
        main(["--ckpt", str(given), "--output", str(output), "--note", "digits"])
    assert exit_.value.code == 2
    assert "'digits' is not NAME=TEXT" in capsys.readouterr().err


def test_a_model_directory_can_be_exported_onto_itself(tmp_path: Path) -> None:
    given = source(tmp_path / "model", quiet_network())
    assert main(["--ckpt", str(given), "--output", str(given), *ANY_LOSS]) == 0
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
    def broken(network: Network, **formats: Any) -> dict[str, bytes]:
        arrays = {**network.arrays, name: change(network.arrays[name])}
        other = build(Network(network.specification, arrays, network.tokenizer), inside=True)
        return {**build(network, **formats), **other}

    refused(tmp_path, monkeypatch, broken)
    assert "differs by" in capsys.readouterr().err


def test_graphs_of_the_other_activation_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def broken(network: Network, **formats: Any) -> dict[str, bytes]:
        return build(quiet_network(activation="soft"), **formats)

    refused(tmp_path, monkeypatch, broken)
    assert "encoder output differs by" in capsys.readouterr().err


def test_onnx_own_slope_of_the_hard_sigmoid_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    import onnx

    def broken(network: Network, **formats: Any) -> dict[str, bytes]:
        files = build(network, **formats)
        model = onnx.load_from_string(files["encoder.onnx"])
        for node in model.graph.node:
            if node.op_type == "HardSigmoid":
                del node.attribute[:]  # alpha is then 0.2
        return {**files, "encoder.onnx": model.SerializeToString()}

    refused(tmp_path, monkeypatch, broken)
    assert "encoder output differs by" in capsys.readouterr().err


def test_a_graph_that_cannot_be_loaded_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def broken(network: Network, **formats: Any) -> dict[str, bytes]:
        return {**build(network, **formats), "joint.onnx": b""}

    refused(tmp_path, monkeypatch, broken, status=3)
    assert "joint.onnx cannot be run" in capsys.readouterr().err


def refused(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    broken: Callable[..., dict[str, bytes]],
    status: int = 1,
) -> None:
    """Run the command with a broken exporter: it fails, and no folder but the source is left."""
    given = source(tmp_path / "given", quiet_network())
    monkeypatch.setattr(builder, "build", broken)
    assert main(["--ckpt", str(given), "--output", str(tmp_path / "deep" / "model")]) == status
    assert list(tmp_path.iterdir()) == [given]


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
    given = source(tmp_path / "given", quiet_network())
    for name in [name for name in sys.modules if name.startswith(("export.build", "export.onnx."))]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "onnx", None)
    assert main(["--ckpt", str(given), "--output", str(tmp_path / "model")]) == 4
    assert install_command("train") in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ["--float-layers", "joint"],
            "--float-layers names 'joint', the layers are encoder.pre.0, ",
        ),
        (["--float-layers", "joint.output,"], "--float-layers names ''"),
        (["--float-layers", "joint.output", "--no-int8"], "--float-layers is for int8"),
        (["--float-layers", "joint.output", "--integers"], "integers know no float"),
        (["--calibrate", "x.jsonl", "--no-int8"], "--calibrate is for int8"),
        (["--most-loss", "-1"], "--most-loss is -1.0; want 0 to 100"),
        (["--most-loss", "nan"], "--most-loss is nan"),
    ],
)
def test_a_wrong_command_line_is_status_2_and_writes_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], message: str
) -> None:
    given = source(tmp_path / "given", quiet_network())
    command = ["--ckpt", str(given), "--output", str(tmp_path / "model"), *arguments]
    try:
        status = main(command)
    except SystemExit as stopped:  # argparse
        status = int(stopped.code or 0)
    assert status == 2
    assert message in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == [given]


@pytest.mark.parametrize("flag", ["--float-layers", "--calibrate"])
def test_a_model_for_integers_has_no_layer_in_float_and_scales_of_its_own(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], flag: str
) -> None:
    given = source(tmp_path / "given", quantised(quiet_network()))
    value = "joint.output" if flag == "--float-layers" else manifest(tmp_path / "m.jsonl")
    command = ["--ckpt", str(given), "--output", str(tmp_path / "model"), flag, value]
    assert main(command) == 2
    assert f"{flag}: the model" in capsys.readouterr().err
    assert not (tmp_path / "model").exists()


def manifest(path: Path, *, audio: str | None = None) -> str:
    """Write a manifest of one bundled recording."""
    recording = recordings()[-1]
    line = {
        "audio_filepath": audio or str(recording.audio),
        "text": recording.text,
        "duration": recording.duration,
    }
    path.write_text(json.dumps(line) + "\n", encoding="utf-8")
    return str(path)


def test_a_model_gets_integers_where_that_is_asked_for(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    given, output = source(tmp_path / "given", quiet_network()), tmp_path / "model"
    flags = ["--calibrate", manifest(tmp_path / "m.jsonl"), *ANY_LOSS]
    assert main(["--ckpt", str(given), "--output", str(output), "--integers", *flags]) == 0
    assert "equal bit for bit" in capsys.readouterr().out
    assert set(open_model(output).notes["export"]["wer"]) == {"float32", "int8", "integers"}
    quantisation = open_model(output).specification.quantisation
    assert quantisation is not None
    scales = safetensors.numpy.load_file(output / directory.INT8_WEIGHTS)
    assert scales["joint.scale"] == 2.0**-quantisation.joint


def test_scales_are_calibrated_on_one_manifest_and_words_counted_on_another(tmp_path: Path) -> None:
    network, output = quiet_network(), tmp_path / "model"
    given = source(tmp_path / "given", network)
    (tmp_path / "silence.wav").write_bytes(silence())
    one = manifest(tmp_path / "one.jsonl", audio=str(tmp_path / "silence.wav"))
    other = manifest(tmp_path / "other.jsonl")
    command = ["--ckpt", str(given), "--output", str(output), *ANY_LOSS]
    scales = []
    for flags in (["--manifest", other], ["--calibrate", one, "--manifest", other]):
        assert main([*command, *flags]) == 0
        arrays = safetensors.numpy.load_file(output / directory.INT8_WEIGHTS)
        scales.append(arrays["x.scale"].item())
    quiet = Calibration(network, load_backend("numpy", network), read_manifest(one)).x
    assert scales[1] == pytest.approx(quiet / 127) and scales[0] != scales[1]


@pytest.mark.parametrize("flag", ["--calibrate", "--manifest"])
def test_a_manifest_whose_audio_is_missing_is_status_3(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], flag: str
) -> None:
    given = source(tmp_path / "given", quiet_network())
    listed = manifest(tmp_path / "m.jsonl", audio="nowhere.flac")
    command = ["--ckpt", str(given), "--output", str(tmp_path / "out" / "model"), flag, listed]
    assert main(command) == 3
    assert "nowhere.flac" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def silence() -> bytes:
    """Return a WAV file of a second of zeros."""
    content = io.BytesIO()
    with wave.open(content, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(16000)
        file.writeframes(bytes(32000))
    return content.getvalue()


@pytest.mark.parametrize("note", ["training=x", "evaluations=x", "no separator"])
def test_a_note_that_rill_writes_itself_is_refused(note: str, tmp_path: Path) -> None:
    with pytest.raises(SystemExit) as error:
        main(["--ckpt", str(tmp_path), "--output", str(tmp_path / "model"), "--note", note])
    assert error.value.code == 2


def test_what_an_older_export_measured_is_not_said_of_this_one(tmp_path: Path) -> None:
    network = quiet_network()
    network.notes["export"] = {"recordings": 1, "wer": {"float32": 0.0}}
    given = source(tmp_path / "given", network)
    assert main(["--ckpt", str(given), "--output", str(tmp_path / "model"), "--no-int8"]) == 0
    assert "export" not in open_model(tmp_path / "model").notes
