"""Random models: of the shape and at the rate that were asked for."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("onnx", reason="needs onnx: pip install 'rill-asr[train]'")

from export.calibration import Calibration
from export.random import SHAPES, main, pieces, random_network
from stream.backends import load_backend
from stream.bundled import model_path, recordings
from stream.encoders.conformer import Conformer
from stream.manifest import read_manifest
from stream.model.network import Network, open_model
from stream.model.specification import Specification
from stream.prediction.stateless import Stateless
from stream.vocabulary import Vocabulary

SMALL = Specification(hidden=24, prediction_hidden=12, joint=16, vocabulary=50)


@pytest.fixture(scope="module")
def bundled() -> Network:
    return open_model(model_path())


def test_pieces_are_all_different_and_begin_with_the_unknown_one() -> None:
    vocabulary = Vocabulary(pieces(8703))
    assert len(vocabulary) == len(set(vocabulary.pieces)) == 8703
    assert vocabulary.pieces[0] == "<unk>"
    assert vocabulary.decode([1, 2]) != ""


def test_base_has_the_arithmetic_of_base() -> None:
    sizes = {name: np.prod(shape) for name, shape in SHAPES["base"].shapes().items()}
    lstm = {name: size for name, size in sizes.items() if ".weight_" in name}
    pre = sum(int(size) for name, size in lstm.items() if "encoder.pre" in name)
    post = sum(int(size) for name, size in lstm.items() if "encoder.post" in name)
    assert 2 * pre + post == pytest.approx(81.7e6, rel=0.01)  # products a step
    assert sizes["joint.output.weight"] == 8704 * 768


@pytest.mark.parametrize("rate", [2.0, 4.0, 8.0])
def test_the_rate_is_held_on_any_recording(bundled: Network, rate: float) -> None:
    network = random_network(SMALL, bundled, rate)
    backend = load_backend("numpy", network)
    for recording in recordings()[:3]:
        calibration = Calibration(network, backend, [recording])
        assert calibration.rate() == pytest.approx(rate, rel=0.25, abs=1.0)
    calibration = Calibration(network, backend, recordings()[:6])
    assert calibration.rate() == pytest.approx(rate, rel=0.25)


@pytest.mark.parametrize("rate", [2.0, 4.0, 8.0])
def test_a_conformer_holds_the_rate_and_repeats_no_token(bundled: Network, rate: float) -> None:
    encoder = Conformer(
        depth=2, size=32, feed_forward=48, channels=4, mamba_every=2, mamba_state=8, chunk_ms=240
    )
    prediction = Stateless(size=8, context=2)
    specification = Specification(
        other_encoder=encoder, other_prediction=prediction, joint=32, vocabulary=50
    )
    network = random_network(specification, bundled, rate, utterances=recordings())
    calibration = Calibration(network, load_backend("numpy", network), recordings())
    assert calibration.rate() == pytest.approx(rate, rel=0.25)
    for tokens in calibration.decode():
        ids = np.array([0, *(token.id for token in tokens)])
        assert (np.diff(ids % 2) != 0).all()  # odd and even ones in turns


def test_tokens_depend_on_what_is_heard(bundled: Network) -> None:
    network = random_network(SMALL, bundled, 4.0)
    backend = load_backend("numpy", network)
    first, second = Calibration(network, backend, recordings()[:2]).decode()
    shared = min(len(first), len(second))
    assert [t.id for t in first[:shared]] != [t.id for t in second[:shared]]


def test_the_command_writes_a_directory_with_both_precisions(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    output = tmp_path / "model"
    assert main(["--shape", "bundled", "--output", str(output)]) == 0
    assert "tokens a second of 6 recordings" in capsys.readouterr().out
    network = open_model(output)
    assert network.notes["tokens_per_second"] == pytest.approx(4.0, rel=0.25)
    for name in ("onnx", "int8"):
        backend = load_backend(name, network)
        calibration = Calibration(network, backend, recordings()[:2])
        assert calibration.rate() == pytest.approx(4.0, rel=0.25)


def test_the_rate_is_held_on_an4(bundled: Network, speech: Path) -> None:
    network = random_network(SMALL, bundled, 4.0)
    backend = load_backend("numpy", network)
    utterances = [u for u in read_manifest(speech / "dev.jsonl") if u.corpus == "an4"]
    assert len(utterances) == 100
    assert Calibration(network, backend, utterances).rate() == pytest.approx(4.0, rel=0.25)


@pytest.mark.parametrize("rate", ["0", "9", "nan"])
def test_a_rate_out_of_range_is_refused(rate: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as exit_:
        main(["--tokens-per-second", rate, "--output", "m"])
    assert exit_.value.code == 2
    assert "want 1 to 8" in capsys.readouterr().err


def test_a_folder_of_something_else_is_not_overwritten(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "thesis").write_text("years of work")
    assert main(["--shape", "bundled", "--output", str(tmp_path)]) == 3
    assert "exists and is not a model directory" in capsys.readouterr().err
