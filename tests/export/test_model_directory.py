"""Writing a model directory: what is wrong is refused and leaves what was there; scales; progress."""

from __future__ import annotations

from pathlib import Path

import pytest
import safetensors.numpy

pytest.importorskip("onnx", reason="needs onnx: pip install 'rill-asr[train]'")

from export import build as builder
from export.errors import ExportError
from export.model_directory import export
from stream.backends.onnx import OnnxBackend
from stream.bundled import recordings
from stream.errors import ArgumentError
from stream.model import directory
from stream.model.network import open_model
from stream.recogniser import Recogniser
from tests.tiny import quantised, quiet_network, talking_ctc, tiny_network

build = builder.build


@pytest.fixture(autouse=True)
def two_recordings(monkeypatch: pytest.MonkeyPatch) -> None:
    """Verify on two of the bundled recordings, of a second each, for speed."""
    for name in ("export.model_directory", "export.checks.verification"):
        monkeypatch.setattr(f"{name}.recordings", lambda: recordings()[-2:])


def test_a_refused_export_leaves_the_older_model(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    output = tmp_path / "model"
    export(quiet_network(seed=5), output, int8=False)
    before = {file.name: file.read_bytes() for file in output.iterdir()}
    other = build(quiet_network(seed=6), inside=True)
    monkeypatch.setattr(builder, "build", lambda *given, **form: {**build(*given, **form), **other})
    with pytest.raises(ExportError, match="random frames: encoder output differs"):
        export(quiet_network(seed=7), output)
    assert {file.name: file.read_bytes() for file in output.iterdir()} == before


@pytest.mark.parametrize("decoder", ["ctc", "both"])
def test_a_ctc_head_is_decoded_from_the_frames_of_the_int8_encoder(
    tmp_path: Path, decoder: str
) -> None:
    network = talking_ctc(tiny_network(3, decoder=decoder))
    found = export(network, tmp_path / "model", most_loss=9.0)
    assert found.int8 is not None and found.int8.recordings == 2
    written, said = open_model(tmp_path / "model"), recordings()[-1].read()
    for backend in ("onnx", "int8"):
        recogniser = Recogniser(written, backend, head="ctc")
        assert recogniser.transcribe(said).tokens
    with pytest.raises(ArgumentError, match="--integers: integers have no ctc"):
        export(network, tmp_path / "integers", integers=True)


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
    monkeypatch.setattr("export.checks.verification._close", lambda *_: 0.0)
    with pytest.raises(ExportError, match=r"speech-commands-\S+: streamed tokens"):
        export(quiet_network(), tmp_path / "model")


def test_int8_has_the_scales_of_the_models_integers_and_calibrates_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("export.model_directory.Calibration", None)
    network = quantised(quiet_network(), input=3, joint=2)
    exported = export(network, tmp_path / "model", most_loss=1e9)
    assert exported.int8 is not None and exported.integers is not None
    arrays = safetensors.numpy.load_file(tmp_path / "model" / directory.INT8_WEIGHTS)
    assert (arrays["x.scale"], arrays["joint.scale"]) == (2.0**-3, 2.0**-2)


def test_progress_says_what_is_streamed(tmp_path: Path) -> None:
    seen: list[tuple[str, int, int]] = []
    export(
        quiet_network(),
        tmp_path / "model",
        most_loss=1e9,
        progress=lambda *shown: seen.append(shown),
    )
    delay = [("word delay", n, 2) for n in (1, 2)]
    rates = [(name, n, 2) for name in ("float32", "int8") for n in (1, 2)]
    assert seen == [*delay, ("calibration", 2, 2), *rates]
