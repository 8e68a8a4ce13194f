"""The torch transducer: padded batches, explicit state, folding, dropout, conversion."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from stream.backends import load_backend  # noqa: E402
from stream.network import Network  # noqa: E402
from tests.tiny import tiny_network  # noqa: E402
from train.model import Dropout, Transducer, lengths_to_mask  # noqa: E402

ACTIVATIONS = ["hard", "soft"]


def trained(activation: str = "hard", dropout: Dropout | None = None) -> Transducer:
    """Return a random model whose normalisations have seen data."""
    specification = tiny_network(activation=activation, pre_layers=2).specification
    module = Transducer(specification, normalised=True, dropout=dropout)
    module.initialise(torch.Generator().manual_seed(1))
    torch.manual_seed(2)
    module.train()
    for _ in range(3):
        module(3 * torch.randn(6, 20, 240) + 1, torch.full((6,), 20), torch.zeros(6, 2).long())
    return module.eval()


def network_of(module: Transducer) -> Network:
    statistics = {k: v for k, v in tiny_network().arrays.items() if k.startswith("normaliser.")}
    return Network(
        module.specification, {**module.arrays(), **statistics}, tiny_network().tokenizer
    )


@pytest.mark.parametrize("activation", ACTIVATIONS)
@torch.inference_mode()
def test_the_folded_network_computes_what_the_trained_model_computes(activation: str) -> None:
    module = trained(activation)
    backend = load_backend("numpy", network_of(module))
    x = 2 * torch.randn(2, 24, 240)
    tokens = torch.tensor([[1, 5, 3], [7, 7, 2]])
    f, g, steps = module(x, torch.tensor([24, 24]), tokens)
    encoder, prediction = backend.initial_state(2)
    want, _ = backend.encode(x.numpy(), encoder)
    np.testing.assert_allclose(f, want, atol=3e-5)
    assert steps.tolist() == [12, 12]
    blank = module.specification.blank
    for u, token in enumerate([np.full(2, blank), *tokens.numpy().T]):
        row, prediction = backend.predict(token, prediction)
        np.testing.assert_allclose(g[:, u], row.reshape(2, -1), atol=1e-5)


@pytest.mark.parametrize("activation", ACTIVATIONS)
@torch.inference_mode()
def test_a_row_is_the_same_alone_and_padded_with_anything(activation: str) -> None:
    module = trained(activation)
    x = torch.randn(3, 20, 240)
    lengths = torch.tensor([20, 7, 1])
    garbage = x.clone()
    garbage[1, 7:], garbage[2, 1:] = 1e3, torch.nan
    tokens = torch.tensor([[1, 2], [3, 0], [0, 0]])
    f, _, steps = module(torch.nan_to_num(garbage), lengths, tokens)
    assert steps.tolist() == [10, 4, 1]
    for row, length in enumerate(lengths.tolist()):
        even = torch.zeros(1, length + length % 2, 240)
        even[0, :length] = x[row, :length]
        alone, _, _ = module(even, torch.tensor([length]), tokens[row : row + 1])
        torch.testing.assert_close(alone[0], f[row, : steps[row]], rtol=0, atol=2e-6)


@torch.inference_mode()
def test_chunks_with_the_state_carried_on_give_the_whole() -> None:
    module = trained()
    x = torch.randn(2, 24, 240)
    state, _ = module.initial_state(2)
    want, _ = module.encode(x, state)
    pieces = []
    for chunk in x.split([2, 8, 0, 14], dim=1):
        f, state = module.encode(chunk, state)
        pieces.append(f)
    torch.testing.assert_close(torch.cat(pieces, 1), want, rtol=0, atol=2e-6)


def test_a_network_becomes_a_module_and_the_same_network_again() -> None:
    network = tiny_network(activation="soft", pre_layers=2)
    arrays = Transducer.from_network(network).arrays()
    for name, array in arrays.items():
        np.testing.assert_array_equal(array, network.arrays[name], err_msg=name)
    assert set(network.arrays) - set(arrays) == {"normaliser.mean", "normaliser.variance"}


def test_a_network_of_another_number_format_is_refused() -> None:
    with pytest.raises(ValueError, match=r"number format is bfp16: use the numpy backend"):
        Transducer.from_network(tiny_network(number_format="bfp16"))


def test_equal_seeds_draw_equal_weights_and_all_of_them() -> None:
    specification = tiny_network().specification

    def drawn(seed: int) -> dict[str, Any]:
        module = Transducer(specification, normalised=True)
        module.initialise(torch.Generator().manual_seed(seed))
        return dict(module.named_parameters())

    one, again, other = drawn(1), drawn(1), drawn(2)
    for name, value in one.items():
        assert torch.equal(value, again[name]), name
        assert not torch.equal(value, other[name]), name
        assert value.abs().max() > 0, name


def test_dropout_acts_in_training_only() -> None:
    module = trained(dropout=Dropout(0.5, 0.5, 0.5, 0.5))
    module.freeze_norms()
    x, lengths, tokens = torch.randn(2, 8, 240), torch.tensor([8, 8]), torch.tensor([[1], [2]])
    still = module(x, lengths, tokens)[:2]
    for a, b in zip(still, module(x, lengths, tokens)[:2], strict=True):
        assert torch.equal(a, b)
    module.train()
    for a, b in zip(still, module(x, lengths, tokens)[:2], strict=True):
        assert not torch.allclose(a, b)


def test_frozen_normalisations_keep_their_statistics_in_training() -> None:
    module = trained()
    module.freeze_norms()
    before = {k: v.clone() for k, v in module.state_dict().items()}
    module.train()
    module(9 * torch.randn(2, 8, 240), torch.tensor([8, 8]), torch.tensor([[1], [2]]))
    assert all(torch.equal(v, before[k]) for k, v in module.state_dict().items())


def test_masks_are_true_before_the_end() -> None:
    mask = lengths_to_mask(torch.tensor([0, 2, 5]), 4)
    assert mask.tolist() == [[False] * 4, [True, True, False, False], [True] * 4]
