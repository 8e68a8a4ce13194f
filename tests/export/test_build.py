"""The files of a model directory: which there are, and families that have none."""

from __future__ import annotations

import msgspec
import pytest

from stream.encoders.family import Encoder
from stream.model import directory
from stream.model.specification import ModelError
from stream.prediction.family import Prediction
from tests.tiny import quantised, tiny_network, tiny_specification

pytest.importorskip("onnx", reason="needs onnx: pip install 'rill-asr[train]'")

from export.build import build
from export.onnx.encoders import encoder_of
from export.onnx.prediction import prediction_of
from export.onnx.ranges import Ranges

RANGES = Ranges(6.0, 6.0)


def test_every_format_has_three_graphs_and_a_file_of_weights() -> None:
    network = quantised(tiny_network())
    assert set(build(network)) == set(directory.GRAPHS)  # the model's own weights stand beside them
    files = build(network, ranges=RANGES, integers=True)
    assert set(files) == {*directory.GRAPHS, *directory.INT8, *directory.INTEGER}


@pytest.mark.parametrize(
    ("decoder", "names"),
    [("ctc", ("encoder.onnx", "ctc.onnx")), ("both", (*directory.GRAPHS, "ctc.onnx"))],
)
def test_a_ctc_head_has_a_graph_in_float_alone(decoder: str, names: tuple[str, ...]) -> None:
    network = tiny_network(decoder=decoder)
    assert directory.graph_names(network.specification) == names
    assert set(build(network)) == set(names)
    if decoder == "both":
        assert set(build(network, ranges=RANGES)) == {*names, *directory.INT8}
    else:
        int8 = {"encoder.int8.onnx", "weights.int8.safetensors"}
        assert set(build(network, ranges=Ranges(6.0, None))) == {*names, *int8}


def test_weights_inside_the_graphs_leave_no_file() -> None:
    network = quantised(tiny_network())
    files = build(network, ranges=RANGES, integers=True, inside=True)
    assert set(files) == {*directory.GRAPHS, *directory.INT8_GRAPHS, *directory.INTEGER_GRAPHS}


class Echo(Encoder, msgspec.Struct, frozen=True, tag="echo", tag_field="family"):
    """An encoder family that export has never heard of."""


class Mute(Prediction, msgspec.Struct, frozen=True, tag="mute", tag_field="family"):
    """A prediction network that export has never heard of."""


@pytest.mark.parametrize(
    ("call", "what"),
    [
        (lambda family, spec: family.write(None, spec), "ONNX graphs"),
        (lambda family, spec: family.int8_arrays(None, RANGES, ()), "int8 graphs"),
        (lambda family, spec: family.integer_layers(None), "integer graphs"),
    ],
)
def test_a_family_without_graphs_is_refused_by_name(call, what) -> None:  # type: ignore[no-untyped-def]
    spec = msgspec.structs.replace(
        tiny_specification(), other_encoder=Echo(), other_prediction=Mute()
    )
    with pytest.raises(
        ModelError, match=f"^the model's encoder is of the family 'echo', which has no {what}$"
    ):
        call(encoder_of(spec), spec)
    with pytest.raises(
        ModelError, match=f"prediction network is of the family 'mute', which has no {what}"
    ):
        call(prediction_of(spec), spec)
