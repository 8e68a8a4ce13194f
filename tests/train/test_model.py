"""The torch transducer: padded batches, explicit state, folding, dropout, conversion."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from torch.utils._pytree import tree_leaves, tree_map

from stream.backends import load_backend
from stream.model.network import Network
from stream.model.quantisation import Quantisation
from tests.tiny import tiny_network
from train.config.learning import Dropout
from train.encoders.input_norm import InputNorm
from train.model import Transducer, lengths_to_mask

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
def test_folding_rounds_once_however_far_the_statistics_are_from_zero(activation: str) -> None:
    module = trained(activation)
    norms = [m for m in module.modules() if isinstance(m, InputNorm)]
    assert norms  # else nothing is folded
    for norm in norms:
        norm.mean.uniform_(-30.0, 30.0)
        norm.variance.uniform_(0.5, 2.0)
    folded = Transducer.from_network(network_of(module)).double()
    x = 2 * torch.randn(2, 24, 240, dtype=torch.float64)
    exact, _ = module.double().encode(x, module.initial_state(2)[0])
    got, _ = folded.encode(x, folded.initial_state(2)[0])
    # Weights are rounded at 2^-24 of sizes up to 30 * 16 * 0.5; folded in float32 it is many times that.
    torch.testing.assert_close(got, exact, rtol=0, atol=5e-5)


def test_a_model_whose_normalisations_saw_nothing_folds_too() -> None:
    module = Transducer(tiny_network().specification, normalised=True).eval()
    module.initialise(torch.Generator().manual_seed(1))
    x, lengths, tokens = torch.randn(1, 8, 240), torch.tensor([8]), torch.tensor([[1]])
    with torch.inference_mode():
        want = module(x, lengths, tokens)
        got = Transducer.from_network(network_of(module))(x, lengths, tokens)
    for a, b in zip(got, want, strict=True):
        torch.testing.assert_close(a, b, rtol=0, atol=1e-6)


@torch.inference_mode()
def test_hard_and_soft_are_two_functions_of_the_same_weights() -> None:
    hard, soft = trained("hard"), trained("soft")
    soft.load_state_dict(hard.state_dict())
    x, lengths, tokens = torch.randn(1, 8, 240), torch.tensor([8]), torch.tensor([[1]])
    for a, b in zip(hard(x, lengths, tokens)[:2], soft(x, lengths, tokens)[:2], strict=True):
        assert (a - b).abs().max() > 1e-3


@pytest.mark.parametrize("activation", ACTIVATIONS)
@torch.inference_mode()
def test_a_row_is_the_same_alone_and_padded_with_anything(activation: str) -> None:
    module = trained(activation)
    x = torch.randn(3, 20, 240)
    x = torch.cat([x, x[:1]])
    lengths = torch.tensor([20, 7, 1, 0])
    garbage = x.clone()
    garbage[1, 7:], garbage[2, 1:], garbage[3] = 1e3, torch.nan, torch.inf
    tokens = torch.tensor([[1, 2], [3, 0], [0, 0], [4, 4]])
    f, _, steps = module(garbage, lengths, tokens)
    assert steps.tolist() == [10, 4, 1, 0]
    for row, length in enumerate(lengths.tolist()):
        even = torch.zeros(1, length + length % 2, 240)
        even[0, :length] = x[row, :length]
        alone, _, _ = module(even, torch.tensor([length]), tokens[row : row + 1])
        torch.testing.assert_close(alone[0], f[row, : steps[row]], rtol=0, atol=2e-6)


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_padding_teaches_nothing(activation: str) -> None:
    """In training too: neither outputs, gradients nor statistics depend on what the padding holds."""
    lengths = torch.tensor([20, 7, 1])
    mask = lengths_to_mask(lengths, 20)[:, :, None]
    x = torch.randn(3, 20, 240, generator=torch.Generator().manual_seed(8))
    seen = []
    for padding in (0.0, 50.0):
        module = trained(activation).train()
        rows = torch.where(mask, x, torch.tensor(padding)).requires_grad_()
        tokens = torch.tensor([[1, 2], [3, int(padding) % 19], [4, 0]])
        f, g, steps = module(rows, lengths, tokens)
        present = lengths_to_mask(steps, f.shape[1])[:, :, None]
        loss = torch.where(present, f, 0.0).square().sum() + g[0].square().sum() + g[1:, :2].sum()
        loss.backward()
        assert torch.equal(rows.grad == 0.0, ~mask.expand_as(rows))
        state = {k: v for k, v in module.state_dict().items()}
        seen.append((loss.detach(), [p.grad for p in module.parameters() if p.grad is not None]))
        seen[-1][1].extend(v for k, v in state.items() if "norm" in k)
    (one, values), (other, others) = seen
    assert torch.equal(one, other)
    for a, b in zip(values, others, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-5, atol=1e-5)


@torch.inference_mode()
def test_tokens_after_a_row_s_own_change_none_of_its_own() -> None:
    module = trained()
    x, lengths = torch.randn(2, 4, 240), torch.tensor([4, 4])
    _, g, _ = module(x, lengths, torch.tensor([[1, 2, 3], [4, 5, 6]]))
    _, other, _ = module(x, lengths, torch.tensor([[1, 2, 3], [4, 0, module.specification.blank]]))
    assert torch.equal(g[0], other[0])
    assert torch.equal(g[1, :2], other[1, :2])
    assert not torch.equal(g[1, 2], other[1, 2])


@torch.inference_mode()
def test_no_tokens_leave_the_start_of_sequence_which_is_a_zero_vector() -> None:
    module = trained()
    none = torch.zeros(2, 0, dtype=torch.long)
    _, g, _ = module(torch.randn(2, 4, 240), torch.tensor([4, 4]), none)
    assert g.shape == (2, 1, module.specification.joint)
    module.prediction.embedding.weight.add_(1.0)
    _, moved, _ = module(torch.randn(2, 4, 240), torch.tensor([4, 4]), none)
    assert torch.equal(g, moved)
    assert torch.equal(g[0], g[1])


@torch.inference_mode()
def test_a_state_is_a_value_that_no_step_changes() -> None:
    module = trained()
    encoder, prediction = module.initial_state(2)
    _, encoder = module.encode(torch.randn(2, 4, 240), encoder)
    _, prediction = module.predict(torch.tensor([[1], [2]]), prediction)
    x, tokens = torch.randn(2, 6, 240), torch.tensor([[3, 4], [5, 6]])
    for first, again in (
        (module.encode(x, encoder), module.encode(x, encoder)),
        (module.predict(tokens, prediction), module.predict(tokens, prediction)),
    ):
        for a, b in zip(tree_leaves(first), tree_leaves(again), strict=True):
            assert torch.equal(a, b)


@torch.inference_mode()
def test_channels_of_a_state_do_not_know_of_each_other() -> None:
    module = trained()
    start, prediction = module.initial_state(3)
    _, state = module.encode(torch.randn(3, 4, 240), start)
    x, tokens = torch.randn(3, 6, 240), torch.tensor([[1, 2], [3, 4], [5, 6]])
    order = torch.tensor([2, 0, 1])
    shuffled = tree_map(lambda v: v[order], state)
    torch.testing.assert_close(
        module.encode(x[order], shuffled)[0], module.encode(x, state)[0][order], rtol=0, atol=1e-6
    )
    torch.testing.assert_close(
        module.predict(tokens[order], prediction)[0],
        module.predict(tokens, prediction)[0][order],
        rtol=0,
        atol=1e-6,
    )


@torch.inference_mode()
def test_tokens_one_at_a_time_give_what_all_at_once_give() -> None:
    module = trained()
    tokens = torch.tensor([[20, 1, 7, 7, 0], [20, 3, 19, 2, 5]])
    assert module.specification.blank == 20
    _, start = module.initial_state(2)
    want, end = module.predict(tokens, start)
    state, pieces = start, []
    for token in tokens.split(1, dim=1):
        g, state = module.predict(token, state)
        pieces.append(g)
    torch.testing.assert_close(torch.cat(pieces, 1), want, rtol=0, atol=1e-6)
    for a, b in zip(tree_leaves(state), tree_leaves(end), strict=True):
        torch.testing.assert_close(a, b, rtol=0, atol=1e-6)


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


@pytest.mark.parametrize("activation", ["hard", "soft"])
def test_a_network_in_block_floating_point_rounds_as_numpy_does(activation: str) -> None:
    network = tiny_network(activation=activation, hidden=20)
    x = np.random.default_rng(0).standard_normal((3, 12, 240), np.float32)
    f, rounded, plain = (
        backend.encode(x, backend.initial_state(3)[0])[0]
        for backend in (
            load_backend("torch", network.in_bfp16()),
            load_backend("bfp16", network),
            load_backend("numpy", network),
        )
    )
    assert np.abs(f - rounded).mean() < 0.1 * np.abs(rounded - plain).mean()


def test_a_network_in_block_floating_point_becomes_a_module_and_the_same_network_again() -> None:
    network = tiny_network().in_bfp16()
    module = Transducer.from_network(network)
    assert module.specification == network.specification
    for name, array in module.arrays().items():
        np.testing.assert_array_equal(array, network.arrays[name], err_msg=name)


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


def test_weights_are_drawn_as_the_numerics_say() -> None:
    specification = tiny_network(hidden=64, prediction_hidden=32, joint=48).specification
    module = Transducer(specification, normalised=True)
    before = torch.random.get_rng_state()
    module.initialise(torch.Generator().manual_seed(1))
    assert torch.equal(torch.random.get_rng_state(), before)  # the generator's draws, no others
    for stack, size in (
        (module.encoder.pre, 64),
        (module.encoder.post, 64),
        (module.prediction.layers, 32),
    ):
        lstm, bound = stack[0].lstm, 0.5 * size**-0.5
        for weight in (lstm.weight_ih, lstm.weight_hh):
            assert 0.95 * bound < weight.abs().max() <= bound
            assert weight.std().item() == pytest.approx(bound / 3**0.5, rel=0.05)
        i, forget, g, o = (lstm.bias_ih + lstm.bias_hh).chunk(4)
        assert torch.equal(forget, torch.ones(size))
        assert 0 < torch.cat([i, g, o]).abs().max() <= 2 * bound
    for linear in (module.joint_encoder, module.joint_prediction, module.output):
        bound = linear.in_features**-0.5
        assert 0.9 * bound < linear.weight.abs().max() <= bound
        assert 0 < linear.bias.abs().max() <= bound
    assert module.prediction.embedding.weight.std().item() == pytest.approx(1.0, abs=0.1)


def test_a_module_shares_no_memory_with_the_network_it_came_from() -> None:
    network = tiny_network()
    before = {name: array.copy() for name, array in network.arrays.items()}
    module = Transducer.from_network(network)
    arrays = module.arrays()
    kept = {name: array.copy() for name, array in arrays.items()}
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.add_(1.0)
    for name, array in arrays.items():
        np.testing.assert_array_equal(array, kept[name], err_msg=name)
        np.testing.assert_array_equal(network.arrays[name], before[name], err_msg=name)


def freeze_norms(module: Transducer) -> None:
    for norm in module.modules():
        if isinstance(norm, InputNorm):
            norm.frozen = True


@pytest.mark.parametrize(
    ("kind", "changes_f", "changes_g"),
    [
        ("encoder", True, False),
        ("recurrent", True, False),
        ("prediction", False, True),
        ("joint", False, False),  # it acts on the sum of the two, in the loss
        ("tokens", False, True),
    ],
)
def test_each_dropout_acts_where_its_name_says(kind: str, changes_f: bool, changes_g: bool) -> None:
    none = dict.fromkeys(Dropout.__struct_fields__, 0.0)
    module = trained(dropout=Dropout(**{**none, kind: 0.5}))
    freeze_norms(module)
    x, lengths, tokens = torch.randn(2, 8, 240), torch.tensor([8, 8]), torch.tensor([[1], [2]])
    f, g, _ = module(x, lengths, tokens)
    module.train()
    torch.manual_seed(3)
    dropped_f, dropped_g, _ = module(x, lengths, tokens)
    assert torch.allclose(dropped_f, f, rtol=0, atol=1e-6) is not changes_f
    assert torch.allclose(dropped_g, g, rtol=0, atol=1e-6) is not changes_g
    torch.manual_seed(3)
    again_f, again_g, _ = module(x, lengths, tokens)
    assert torch.equal(again_f, dropped_f)
    assert torch.equal(again_g, dropped_g)


@pytest.mark.parametrize("kind", Dropout.__struct_fields__)
@pytest.mark.parametrize("p", [-0.1, 1.0, float("nan")])
def test_a_probability_of_dropping_is_below_one(kind: str, p: float) -> None:
    with pytest.raises(ValueError, match=rf"dropout.{kind} is {p}, wants 0 <= p < 1"):
        Dropout(**{kind: p})


def test_dropout_acts_in_training_only() -> None:
    module = trained(dropout=Dropout(0.5, 0.5, 0.5, 0.5, 0.5))
    freeze_norms(module)
    x, lengths, tokens = torch.randn(2, 8, 240), torch.tensor([8, 8]), torch.tensor([[1], [2]])
    still = module(x, lengths, tokens)[:2]
    for a, b in zip(still, module(x, lengths, tokens)[:2], strict=True):
        assert torch.equal(a, b)
    module.train()
    for a, b in zip(still, module(x, lengths, tokens)[:2], strict=True):
        assert not torch.allclose(a, b)


def test_frozen_normalisations_keep_their_statistics_in_training() -> None:
    module = trained()
    freeze_norms(module)
    before = {k: v.clone() for k, v in module.state_dict().items()}
    module.train()
    module(9 * torch.randn(2, 8, 240), torch.tensor([8, 8]), torch.tensor([[1], [2]]))
    assert all(torch.equal(v, before[k]) for k, v in module.state_dict().items())


def test_masks_are_true_before_the_end() -> None:
    mask = lengths_to_mask(torch.tensor([0, 2, 5]), 4)
    assert mask.tolist() == [[False] * 4, [True, True, False, False], [True] * 4]


def test_the_encoder_s_parameters_are_those_of_its_layers() -> None:
    module = Transducer(tiny_network(pre_layers=2).specification, normalised=True)
    names = {id(p): name for name, p in module.named_parameters()}
    got = {names[id(p)].partition(".lstm.")[0] for p in module.encoder_parameters()}
    assert got == {"encoder.pre.0", "encoder.pre.1", "encoder.post.0"}


def quantised_network(**more: Any) -> Network:
    """Return a random model of integers, with weights of 8 and of 4 bits."""
    chosen = Quantisation(joint=6, weight_bits={"encoder.pre.1": 4})
    return tiny_network(5, pre_layers=2, quantisation=chosen, **more)


def test_the_training_forward_is_the_integers_whatever_the_batch() -> None:
    network = quantised_network()
    module, integers = Transducer.from_network(network), load_backend("integer", network)
    rng = np.random.default_rng(8)
    x = 2.0 * rng.standard_normal((3, 30, 240)).astype(np.float32)
    lengths, tokens = np.array([30, 17, 4]), rng.integers(0, 20, (3, 6))
    with torch.autocast("cpu", torch.bfloat16):  # as training runs it
        f, g, steps = module(
            torch.from_numpy(x), torch.from_numpy(lengths), torch.from_numpy(tokens)
        )
    for row in range(3):
        count = lengths[row] + lengths[row] % 2
        present = np.arange(count)[None] < lengths[row]
        state, predicting = integers.initial_state(1)
        want, _ = integers.encode(x[row : row + 1, :count], state, present)
        assert want.shape[1] == steps[row]
        np.testing.assert_array_equal(f[row, : steps[row]].detach().numpy(), want[0])
        for u, token in enumerate([network.specification.blank, *tokens[row]]):
            of_g, predicting = integers.predict(np.array([token]), predicting)
            np.testing.assert_array_equal(g[row, u].detach().numpy(), of_g[0])
        logits = module.join(f[row, 0], g[row, 0]).detach().numpy()
        np.testing.assert_array_equal(
            logits, integers.join(want[:, 0], g[row, :1].detach().numpy())[0]
        )


def test_a_quantised_network_becomes_a_module_and_the_same_network_again() -> None:
    network = quantised_network()
    for name, array in Transducer.from_network(network).arrays().items():
        np.testing.assert_array_equal(array, network.arrays[name], err_msg=name)


def test_dropout_leaves_inputs_that_are_integers() -> None:
    module = Transducer(
        quantised_network().specification, normalised=False, dropout=Dropout(0.3, 0.0, 0.3, 0.0)
    )
    module.initialise(torch.Generator().manual_seed(1))
    f, g, _ = module.train()(torch.randn(2, 8, 240), torch.tensor([8, 8]), torch.zeros(2, 2).long())
    for value in (f, g):
        scaled = value.detach() * 2.0**12
        assert torch.equal(scaled, scaled.round())


@pytest.mark.parametrize(
    ("normalised", "dropout"), [(True, None), (False, Dropout(0.0, 0.1, 0.0, 0.0))]
)
@pytest.mark.parametrize(
    "make", [quantised_network, lambda: tiny_network().in_bfp16()], ids=["integers", "bfp16"]
)
def test_what_would_change_rounded_weights_is_refused(
    normalised: bool, dropout: Dropout | None, make: Callable[[], Network]
) -> None:
    specification = make().specification
    with pytest.raises(ValueError, match=r"normalised = False and dropout\.recurrent = 0"):
        Transducer(specification, normalised=normalised, dropout=dropout)


def test_checkpoints_keep_the_names_from_before_there_were_families() -> None:
    module = Transducer(tiny_network().specification, normalised=True)
    state = module.state_dict()
    assert {name.partition(".")[0] for name in state} == {
        "pre", "post", "prediction", "embedding", "joint_norm", "joint_encoder",
        "joint_prediction", "output",
    }  # fmt: skip
    assert "pre.0.lstm.weight_hh" in state and "prediction.0.lstm.bias_ih" in state
    other = Transducer(tiny_network().specification, normalised=True)
    before = list(state)
    other.load_state_dict(state)
    assert list(state) == before  # the caller's is left as it is
    assert all(
        torch.equal(a, b) for a, b in zip(module.parameters(), other.parameters(), strict=True)
    )
