"""Choosing integer formats: the exponents, what is refused, and that the bundled model still hears."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from export.calibration import Calibration
from export.post_training import calibrated
from stream.audio import read_audio
from stream.backends import load_backend
from stream.bundled import model_path, recordings
from stream.model.network import open_model
from stream.model.quantisation import Quantisation, joint_exponent
from stream.model.specification import ModelError
from stream.recogniser import Recogniser
from tests.tiny import tiny_network


@pytest.mark.parametrize(
    ("largest", "exponent"),
    [(1.0, 8), (1.001, 7), (0.999, 8), (32.0, 3), (31.0, 3), (33.0, 2), (1e9, -6), (1e-9, 15)],
)
def test_the_joints_exponent_just_holds_the_largest_value(largest: float, exponent: int) -> None:
    assert joint_exponent(largest) == exponent


@pytest.mark.parametrize("largest", [0.0, -3.0])
def test_a_joint_that_is_never_positive_has_the_finest_exponent(largest: float) -> None:
    assert joint_exponent(largest) == 15


def test_the_formats_are_those_of_the_recordings() -> None:
    network = tiny_network(3)
    backend = load_backend("numpy", network)
    largest = Calibration(network, backend, recordings()).joint()
    made = calibrated(network, recordings(), input_exponent=5, weight_bits={"encoder.pre.0": 4})
    assert made.specification.quantisation == Quantisation(
        input=5, joint=joint_exponent(largest), weight_bits={"encoder.pre.0": 4}
    )
    plain = msgspec.structs.replace(made.specification, quantisation=None)
    assert plain == network.specification
    assert made.arrays is network.arrays


@pytest.mark.parametrize(
    ("fields", "options", "message"),
    [
        ({"activation": "soft"}, {}, "activation is soft, integers want hard"),
        ({"number_format": "bfp16"}, {}, "number_format is bfp16"),
        ({}, {"input_exponent": 9}, "the exponent input is 9"),
        ({}, {"weight_bits": {"joint.output": 3}}, "joint.output has 3 bits"),
        ({}, {"weight_bits": {"joint": 4}}, "weight_bits names 'joint'"),
    ],
)
def test_what_cannot_be_had_in_integers_is_refused(
    fields: dict[str, Any], options: dict[str, Any], message: str
) -> None:
    with pytest.raises(ModelError, match=message):
        calibrated(tiny_network(**fields), recordings(), **options)


def test_no_recordings_are_refused() -> None:
    with pytest.raises(ValueError, match="no recordings"):
        calibrated(tiny_network(), [])


def test_the_bundled_model_hears_its_recordings_in_integers() -> None:
    network = open_model(model_path())
    made = calibrated(network, recordings())
    for utterance in recordings():
        audio = read_audio(utterance.audio)
        want, got = (
            Recogniser(model, backend).transcribe(audio)[0]
            for model, backend in ((network, "onnx"), (made, "integer"))
        )
        assert got == want
