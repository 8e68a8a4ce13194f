"""Quantisation: what it accepts, what a specification refuses, and that it survives a directory."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import msgspec
import pytest

from stream.model import directory
from stream.model.network import open_model
from stream.model.quantisation import Quantisation
from stream.model.specification import ModelError, Specification
from tests.tiny import tiny_network


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"input": 8}, "the exponent input is 8, wants 0 to 7"),
        ({"input": -1}, "the exponent input is -1"),
        ({"joint": 16}, "the exponent joint is 16, wants -6 to 15"),
        ({"joint": -7}, "the exponent joint is -7"),
        ({"weight_bits": {"joint.output": 6}}, "joint.output has 6 bits a weight, wants 8 or 4"),
    ],
)
def test_a_format_out_of_range_is_named(fields: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Quantisation(**{"joint": 4, **fields})


def test_a_layer_that_is_not_named_has_eight_bits() -> None:
    quantisation = Quantisation(joint=4, weight_bits={"encoder.pre.0": 4})
    assert quantisation.bits("encoder.pre.0") == 4
    assert quantisation.bits("encoder.pre.1") == 8


def test_an_unknown_layer_is_refused_with_those_there_are() -> None:
    quantisation = Quantisation(joint=4, weight_bits={"encoder.pre.2": 4})
    with pytest.raises(
        ValueError, match=r"names 'encoder.pre.2', .* encoder.pre.0, encoder.pre.1, "
    ):
        Specification(vocabulary=4, quantisation=quantisation)


def test_the_layers_of_a_specification_are_those_with_weights() -> None:
    assert Specification(vocabulary=4, post_layers=1).layer_names == (
        "encoder.pre.0",
        "encoder.pre.1",
        "encoder.post.0",
        "prediction.lstm.0",
        "joint.encoder",
        "joint.prediction",
        "joint.output",
    )


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"activation": "soft"}, "activation is soft, integers want hard"),
        ({"number_format": "bfp16"}, "number_format is bfp16, wants float32"),
    ],
)
def test_soft_and_block_floating_point_are_refused(fields: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Specification(vocabulary=4, quantisation=Quantisation(joint=4), **fields)


def test_a_model_directory_keeps_it_and_an_older_one_has_none(tmp_path: Path) -> None:
    quantisation = Quantisation(joint=-2, input=5, weight_bits={"encoder.post.0": 4})
    network = tiny_network(quantisation=quantisation)
    directory.write(network, tmp_path / "model", {})
    assert open_model(tmp_path / "model").specification == network.specification
    content = msgspec.to_builtins(network.specification)
    del content["quantisation"]
    assert msgspec.convert(content, Specification).quantisation is None


def test_a_directory_with_an_unsupported_width_is_named(tmp_path: Path) -> None:
    path = tmp_path / "model"
    directory.write(tiny_network(quantisation=Quantisation(joint=4)), path, {})
    index = json.loads((path / "model.json").read_text()) | {"sha256": ""}
    index["specification"]["quantisation"]["weight_bits"] = {"joint.output": 2}
    content = msgspec.json.format(msgspec.json.encode(index))
    (path / "model.json").write_bytes(directory._seal(content))
    with pytest.raises(ModelError, match="model.json is not understood.*joint.output has 2 bits"):
        open_model(path)
