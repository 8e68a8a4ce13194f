"""The neutral model: what it accepts, what it refuses, and how files are told apart."""

from __future__ import annotations

from pathlib import Path

import msgspec
import numpy as np
import pytest

from stream.model.network import Network, open_model
from stream.model.specification import ModelError
from tests.tiny import tiny_network


def changed(name: str, value: np.ndarray) -> Network:  # type: ignore[type-arg]
    network = tiny_network()
    return Network(network.specification, {**network.arrays, name: value}, network.tokenizer)


def test_a_wrong_shape_is_named_with_both_shapes() -> None:
    with pytest.raises(ModelError, match=r"joint.output.bias is float32 \(3,\), .* wants float32"):
        changed("joint.output.bias", np.zeros(3, np.float32))


def test_a_value_that_is_not_finite_is_named_with_its_place() -> None:
    bias = tiny_network().arrays["joint.encoder.bias"].copy()
    bias[5] = np.nan
    with pytest.raises(ModelError, match=r"joint.encoder.bias is not finite at \[5\]"):
        changed("joint.encoder.bias", bias)


def test_missing_and_superfluous_arrays_are_named() -> None:
    network = tiny_network()
    arrays = dict(network.arrays)
    del arrays["encoder.pre.0.weight_hh"]
    with pytest.raises(ModelError, match=r"encoder.pre.0.weight_hh is missing"):
        Network(network.specification, arrays, network.tokenizer)
    with pytest.raises(ModelError, match="spare is unknown to the specification"):
        changed("spare", np.zeros(3, np.float32))


def test_a_tokenizer_of_another_size_is_refused() -> None:
    network = tiny_network()
    pieces = network.specification.vocabulary
    larger = msgspec.structs.replace(network.specification, vocabulary=pieces + 1)
    arrays = {
        name: np.resize(array, larger.shapes()[name]) for name, array in network.arrays.items()
    }
    with pytest.raises(ModelError, match=f"has {pieces} pieces, the specification {pieces + 1}"):
        Network(larger, arrays, network.tokenizer)


def test_what_is_no_model_is_refused_and_named(tmp_path: Path) -> None:
    for name, content in {"empty.pt": b"", "text.pt": b"not a model\n" * 99}.items():
        (tmp_path / name).write_bytes(content)
        with pytest.raises(ModelError, match=f"{name}: is none of: model directory, hardware"):
            open_model(tmp_path / name)
    with pytest.raises(ModelError, match="is none of"):
        open_model(tmp_path)


def test_a_missing_file_is_a_missing_file(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"nothing\.pt: no such model"):
        open_model(tmp_path / "nothing.pt")
