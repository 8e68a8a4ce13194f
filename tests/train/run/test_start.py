"""Where a fine-tune begins: the float weights of any model, its normalisation folded."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from stream.model.quantisation import Quantisation
from tests.tiny import tiny_network
from train.run.start import folded_start


def test_a_start_is_the_float_weights_of_any_model() -> None:
    changes: tuple[dict[str, Any], ...] = (
        {"number_format": "bfp16"},
        {"quantisation": Quantisation(joint=5)},
    )
    want = folded_start(tiny_network(2))
    assert want.weights is not None
    for change in changes:
        network = tiny_network(2, **change)
        start = folded_start(network)
        assert start.tokenizer == network.tokenizer
        np.testing.assert_array_equal(
            start.statistics["normaliser.mean"], network.arrays["normaliser.mean"]
        )
        np.testing.assert_array_equal(
            start.statistics["normaliser.variance"], network.arrays["normaliser.variance"]
        )
        assert start.weights is not None
        assert start.weights.keys() == want.weights.keys()
        assert all(torch.equal(v, want.weights[k]) for k, v in start.weights.items())
