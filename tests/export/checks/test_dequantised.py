"""Dequantised weights: what int8 and integers stand for is the model to half a step, and no further."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

pytest.importorskip("onnx", reason="needs onnx: pip install 'rill-asr[train]'")

from export.build import int8_arrays
from export.checks.dequantised import check_weights, dequantise_int8, dequantise_integers
from export.onnx.ranges import Ranges
from stream.integer.network import to_integers
from stream.model.network import Network
from tests.tiny import quantised, tiny_network

DEEP: dict[str, Any] = {"pre_layers": 2, "post_layers": 2, "prediction_layers": 2, "hidden": 6}


def stored(network: Network, float_layers: Sequence[str] = ()) -> dict[str, Any]:
    return dict(int8_arrays(network, Ranges(6.0, 9.0), float_layers))


@settings(max_examples=20)
@given(
    seed=st.integers(0, 999),
    bits=st.sampled_from([4, 8]),
    gain=st.integers(-6, 6),
    activation=st.sampled_from(["hard", "soft"]),
)
def test_rounded_weights_are_the_models_to_half_a_step(
    seed: int, bits: int, gain: int, activation: str
) -> None:
    network = tiny_network(seed, activation=activation, **DEEP)
    # Powers of two are the largest weights that saturate.
    arrays = {
        name: np.ldexp(array, gain) if ".weight_" in name else array
        for name, array in network.arrays.items()
    }
    arrays["encoder.pre.1.weight_hh"][3, 2] = np.float32(2.0 ** (gain + 2))
    network = replace(network, arrays=arrays)
    check_weights(network, *dequantise_int8(network, stored(network)))
    if activation == "hard":
        layers = dict.fromkeys(network.specification.layer_names, bits)
        network = quantised(network, weight_bits=layers)
        dequantised, allowed = dequantise_integers(network, to_integers(network))
        check_weights(network, dequantised, allowed)
        assert set(allowed) == {
            name
            for name in network.arrays
            if not name.startswith("normaliser.") and not name.endswith("bias_hh")
        }


def test_layers_in_float_are_the_models_own() -> None:
    network = tiny_network(**DEEP)
    layers = ("encoder.post.0", "prediction.lstm.0", "joint.output")
    dequantised, allowed = dequantise_int8(network, stored(network, layers))
    check_weights(network, dequantised, allowed)
    in_float = {
        name
        for name in network.arrays
        if name.startswith((*(f"{layer}." for layer in layers), "prediction.embedding"))
    }
    assert not in_float & set(allowed)
    for name in in_float:
        np.testing.assert_array_equal(dequantised.arrays[name], network.arrays[name])


def test_a_tensor_of_zeros_is_dequantised() -> None:
    network = quantised(tiny_network())
    arrays = {
        name: np.zeros_like(a) if "weight" in name else a for name, a in network.arrays.items()
    }
    network = replace(network, arrays=arrays)
    check_weights(network, *dequantise_integers(network, to_integers(network)))
    check_weights(network, *dequantise_int8(network, stored(network)))


@pytest.mark.parametrize("factor", [0.5, 2.0, -1.0, np.nan])
def test_a_weight_that_is_another_is_named_with_its_place(factor: float) -> None:
    network = quantised(tiny_network())
    dequantised, allowed = dequantise_integers(network, to_integers(network))
    arrays = {name: array.copy() for name, array in dequantised.arrays.items()}
    at = np.unravel_index(np.abs(arrays["joint.encoder.weight"]).argmax(), (16, 16))
    arrays["joint.encoder.weight"][at] *= factor
    with pytest.raises(
        ValueError, match=r"joint.encoder.weight at \[\d+, \d+\] stands for"
    ) as error:
        check_weights(network, _unchecked(dequantised, arrays), allowed)
    assert str([int(n) for n in at]) in str(error.value)


def _unchecked(network: Network, arrays: dict[str, Any]) -> Network:
    """Return a network with arrays that it may not have, such as NaN."""
    broken = replace(network)
    object.__setattr__(broken, "arrays", arrays)
    return broken
