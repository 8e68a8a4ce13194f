"""The layer report counts what the integers did, and names the layer that loses."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
import soundfile

from export.checks.layer_report import LayerReport, layer_reports
from export.saturation import main, table
from stream.manifest import Utterance, read_manifest
from stream.model import directory
from stream.model.network import Network
from stream.model.quantisation import Quantisation
from stream.model.specification import ModelError
from tests.tiny import tiny_network

LAYERS = (
    "encoder.pre.0",
    "encoder.post.0",
    "prediction.lstm.0",
    "joint.encoder",
    "joint.prediction",
    "joint.output",
)


@pytest.fixture(scope="module")
def manifest(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("recordings")
    rng = np.random.default_rng(0)
    lines = []
    for n, samples in enumerate((9000, 16000, 12345)):
        audio = 0.2 * rng.standard_normal(samples) * np.abs(np.sin(np.arange(samples) / 900))
        soundfile.write(folder / f"{n}.wav", audio, 16000)
        lines.append(
            json.dumps({"audio_filepath": f"{n}.wav", "text": "a", "duration": samples / 16000})
        )
    (folder / "three.jsonl").write_text("\n".join(lines) + "\n")
    return folder / "three.jsonl"


def network(factors: dict[str, float] | None = None, **chosen: Any) -> Network:
    """Return a random model of integers, some of its arrays scaled."""
    plain = tiny_network(4)
    arrays = dict(plain.arrays)
    for name, factor in (factors or {}).items():
        arrays[name] = np.float32(factor) * arrays[name]
    arrays["joint.output.bias"] = arrays["joint.output.bias"].copy()
    arrays["joint.output.bias"][-1] -= 0.3  # fewer blanks, so that there are tokens
    quantisation = Quantisation(**{"joint": 6, **chosen})
    specification = msgspec.structs.replace(plain.specification, quantisation=quantisation)
    return dataclasses.replace(plain, specification=specification, arrays=arrays)


def reports(made: Network, manifest: Path) -> dict[str, LayerReport]:
    return {r.name: r for r in layer_reports(made, read_manifest(manifest))}


def test_every_layer_is_reported_and_a_sound_model_is_near_its_floats(manifest: Path) -> None:
    found = reports(network(), manifest)
    assert tuple(found) == LAYERS
    for report in found.values():
        assert 0.0 < report.own_error < 0.15
        assert 0.0 < report.error < 0.3
        assert report.rms > 0.0
        assert 10.0 < report.bound_bits < 24.0
    first = found["encoder.pre.0"]
    assert first.exponents["input"] == 4
    assert found["prediction.lstm.0"].cells_saturated == 0.0
    assert found["joint.output"].input_unused in (1, 2)  # u8 of exponent 6 spans 4


def test_four_bits_are_the_layer_that_loses(manifest: Path) -> None:
    eight = reports(network(), manifest)
    four = reports(network(weight_bits={"encoder.post.0": 4}), manifest)
    assert four["encoder.post.0"].bits == 4
    assert four["encoder.post.0"].own_error > 4 * eight["encoder.post.0"].own_error
    assert four["encoder.pre.0"] == eight["encoder.pre.0"]
    assert max(four.values(), key=lambda r: r.own_error).name == "encoder.post.0"


def test_saturation_is_counted_where_it_is(manifest: Path) -> None:
    found = reports(network({"encoder.pre.0.bias_ih": 100.0}), manifest)
    first = found["encoder.pre.0"]
    assert first.gates_clipped is not None and first.gates_clipped > 0.8
    assert first.cells_saturated is not None and first.cells_saturated > 0.05
    assert first.output_clipped is not None and first.output_clipped > 0.1
    assert found["encoder.post.0"].input_clipped > 0.1
    assert found["prediction.lstm.0"].cells_saturated == 0.0


def test_bits_that_nothing_needs_are_counted(manifest: Path) -> None:
    wide, narrow = (reports(network(joint=joint), manifest) for joint in (2, 9))
    assert wide["joint.output"].input_unused == 5 or wide["joint.output"].input_unused == 6
    assert narrow["joint.output"].input_unused == 0
    assert narrow["joint.output"].input_clipped > 0.1
    coarse = reports(network(input=0), manifest)
    assert coarse["encoder.pre.0"].input_unused >= 3
    assert coarse["encoder.pre.0"].input_clipped == 0.0


def test_padding_does_not_count(manifest: Path) -> None:
    made = network()
    whole = read_manifest(manifest)
    alone = [layer_reports(made, [utterance])[0] for utterance in whole]
    together = layer_reports(made, whole)[0]
    assert min(r.rms for r in alone) < together.rms < max(r.rms for r in alone)
    assert together.input_unused == min(r.input_unused for r in alone)


def test_nothing_to_report_on_is_said(manifest: Path) -> None:
    with pytest.raises(ValueError, match="no recordings"):
        layer_reports(network(), [])
    with pytest.raises(ModelError, match="has no quantisation"):
        layer_reports(tiny_network(), read_manifest(manifest))


def test_the_table_has_a_line_a_layer(
    manifest: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    directory.write(tiny_network(4), tmp_path / "model", {})
    arguments = ["--model", str(tmp_path / "model"), "--manifest", str(manifest)]
    assert main(arguments) == 0
    printed = capsys.readouterr()
    assert "formats chosen on the recordings" in printed.err
    lines = printed.out.splitlines()
    assert lines[0].split()[:3] == ["layer", "bits", "f"]
    assert [line.split()[0] for line in lines[1:]] == list(LAYERS)
    assert table(layer_reports(network(), read_manifest(manifest))).count("\n") == len(LAYERS)


def test_what_cannot_be_read_is_an_error_of_its_own(
    manifest: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    missing = str(tmp_path / "none")
    assert main(["--model", missing, "--manifest", str(manifest)]) == 3
    assert "none: no such model" in capsys.readouterr().err
    utterance = Utterance(id="x", audio=tmp_path / "x.wav", text="", duration=1.0)
    with pytest.raises(Exception, match=r"x\.wav"):
        layer_reports(network(), [utterance])
