"""Where a quantised run begins: folded weights, and formats from what the joint reaches."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from stream.model.quantisation import Quantisation
from tests.tiny import tiny_network
from train.model import Transducer
from train.run.start import folded_start, largest_joint, weight_bits


def test_the_largest_element_is_that_of_all_nodes_of_each_rows_lattice() -> None:
    model = Transducer.from_network(tiny_network(2))
    generator = torch.Generator().manual_seed(4)
    x = 3.0 * torch.randn(3, 12, 240, generator=generator)
    lengths, tokens = torch.tensor([12, 5, 2]), torch.randint(0, 20, (3, 4), generator=generator)
    token_lengths = torch.tensor([1, 4, 0])
    got = largest_joint(model, [(x, lengths, tokens, token_lengths)] * 2)
    with torch.no_grad():
        f, g, steps = model(x, lengths, tokens)
    want = max(
        float((f[row, : steps[row], None] + g[row, None, : token_lengths[row] + 1]).max())
        for row in range(3)
    )
    assert got == want
    assert got != float((f[:, :, None] + g[:, None]).max())  # what is padding does not count


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
        np.testing.assert_array_equal(start.mean, network.arrays["normaliser.mean"])
        np.testing.assert_array_equal(start.variance, network.arrays["normaliser.variance"])
        assert start.weights is not None
        assert start.weights.keys() == want.weights.keys()
        assert all(torch.equal(v, want.weights[k]) for k, v in start.weights.items())


def test_four_bits_are_for_the_lstm_layers() -> None:
    specification = tiny_network(2, post_layers=2).specification
    assert weight_bits("int8", specification) == {}
    assert weight_bits("w4a8", specification) == {
        "encoder.pre.0": 4,
        "encoder.post.0": 4,
        "encoder.post.1": 4,
        "prediction.lstm.0": 4,
    }
