"""The formats of a quantised run: from what the joint reaches, and by layer."""

from __future__ import annotations

import pytest

torch = pytest.importorskip("torch")

from tests.tiny import tiny_network
from train.model import Transducer
from train.run.integer_formats import largest_joint, weight_bits


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


def test_four_bits_are_for_the_lstm_layers() -> None:
    specification = tiny_network(2, post_layers=2).specification
    assert weight_bits("int8", specification) == {}
    assert weight_bits("w4a8", specification) == {
        "encoder.pre.0": 4,
        "encoder.post.0": 4,
        "encoder.post.1": 4,
        "prediction.lstm.0": 4,
    }
