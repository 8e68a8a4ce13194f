"""The fast LSTM against its formula, torch's own and the vectors; gradients."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from stream.encoders.lstm_layer import Activation
from stream.encoders.lstm_layer import LSTMLayer as Reference
from tests.train.compute.elsewhere import DEVICE, Elsewhere
from train.encoders import compiled_cells, tensor_cells
from train.encoders import lstm_layer as layers
from train.encoders.lstm_layer import LSTM

NAMES = ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
ACTIVATIONS: tuple[Activation, ...] = ("hard", "soft")


@pytest.fixture(autouse=True)
def seeded() -> None:
    torch.manual_seed(0)


def layer(activation: Activation, inputs: int = 7, hidden: int = 5, gain: float = 0.8) -> LSTM:
    """Return a layer of normal weights; a gain of 3 saturates most hard gates."""
    made = LSTM(inputs, hidden, activation)
    with torch.no_grad():
        for parameter in made.parameters():
            parameter.normal_(0.0, gain)
    return made


def state(batch: int, hidden: int = 5, dtype: Any = torch.float32) -> Any:
    return torch.randn(batch, hidden, dtype=dtype), torch.randn(batch, hidden, dtype=dtype)


def torch_twin(own: LSTM) -> Any:
    twin = torch.nn.LSTM(own.inputs, own.hidden, batch_first=True).to(own.weight_ih.dtype)
    with torch.no_grad():
        for name in NAMES:
            getattr(twin, f"{name}_l0").copy_(getattr(own, name))
    return twin


@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("gain", [0.8, 3.0])
def test_training_computes_what_streaming_computes(activation: Activation, gain: float) -> None:
    own = layer(activation, gain=gain)
    x, (h, c) = torch.randn(3, 40, 7), state(3)
    y, (last_h, last_c) = own.step(x, (h, c))
    reference = Reference({n: getattr(own, n).detach().numpy() for n in NAMES}, activation)
    want, (want_h, want_c) = reference.step(x.numpy(), (h.numpy(), c.numpy()))
    np.testing.assert_allclose(y.detach(), want, atol=1e-5)
    np.testing.assert_allclose(last_h.detach(), want_h, atol=1e-5)
    np.testing.assert_allclose(last_c.detach(), want_c, atol=3e-5)


def test_the_soft_layer_is_torchs_with_all_its_gradients() -> None:
    own = layer("soft").double()
    twin = torch_twin(own)
    x, (h, c) = torch.randn(3, 40, 7, dtype=torch.float64), state(3, dtype=torch.float64)
    ours = [v.clone().requires_grad_() for v in (x, h, c)]
    theirs = [v.clone().requires_grad_() for v in (x, h, c)]
    weight = torch.randn(3, 40, 5, dtype=torch.float64)
    y, (last_h, last_c) = own.step(ours[0], (ours[1], ours[2]))
    z, (twin_h, twin_c) = twin(theirs[0], (theirs[1][None], theirs[2][None]))
    torch.testing.assert_close(y, z, rtol=0, atol=1e-12)
    ((y * weight).sum() + (last_h * last_c).sum()).backward()
    ((z * weight).sum() + (twin_h * twin_c).sum()).backward()
    for a, b in zip(ours, theirs, strict=True):
        torch.testing.assert_close(a.grad, b.grad, rtol=0, atol=1e-11)
    for name in NAMES:
        torch.testing.assert_close(
            getattr(own, name).grad, getattr(twin, f"{name}_l0").grad, rtol=0, atol=1e-10
        )


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_gradients_are_the_derivatives(activation: Activation) -> None:
    own = layer(activation).double()
    x = torch.randn(2, 6, 7, dtype=torch.float64, requires_grad=True)
    h, c = (v.requires_grad_() for v in state(2, dtype=torch.float64))

    def outputs(x: Any, h: Any, c: Any, *parameters: Any) -> Any:
        y, (last_h, last_c) = torch.func.functional_call(
            _Step(own), {f"layer.{n}": p for n, p in zip(NAMES, parameters, strict=True)}, (x, h, c)
        )
        return y, last_h, last_c

    assert torch.autograd.gradcheck(outputs, (x, h, c, *(getattr(own, n) for n in NAMES)))


class _Step(torch.nn.Module):
    """`layer.step` as forward, which functional_call wants."""

    def __init__(self, own: LSTM) -> None:
        super().__init__()
        self.layer = own

    def forward(self, x: Any, h: Any, c: Any) -> Any:
        return self.layer.step(x, (h, c))


@pytest.mark.parametrize("gate", range(4))
def test_a_hard_gate_at_its_bound_has_no_gradient(gate: int) -> None:
    own = LSTM(1, 1, "hard")
    with torch.no_grad():
        own.bias_ih.copy_(torch.tensor([0.5, 0.5, 0.25, 0.5]))  # all gates inside, cell 0.33
        own.bias_ih[gate] = 1.0 if gate == 2 else 4.0  # S(4) = T(1) = 1, exactly
    y, _ = own.step(torch.zeros(1, 1, 1), (torch.zeros(1, 1), torch.full((1, 1), 0.5)))
    y.sum().backward()
    assert own.bias_ih.grad[gate] == 0.0
    others = [n for n in range(4) if n != gate]
    assert (own.bias_ih.grad[others] != 0.0).all()


def test_hard_gradients_are_an_eighth_and_one_inside() -> None:
    own = LSTM(1, 1, "hard")
    with torch.no_grad():
        own.bias_ih.copy_(torch.tensor([0.8, -0.8, 0.5, 1.6]))  # i .6, f .4, g .5, o .7
    y, (_, c) = own.step(torch.zeros(1, 1, 1), (torch.zeros(1, 1), torch.full((1, 1), 0.25)))
    assert c.item() == pytest.approx(0.4 * 0.25 + 0.6 * 0.5)
    y.sum().backward()
    want = [0.7 * 0.5 / 8, 0.7 * 0.25 / 8, 0.7 * 0.6, 0.4 / 8]  # of i, f, g, o
    np.testing.assert_allclose(own.bias_ih.grad, want, rtol=1e-6)


def test_a_cell_beyond_one_is_kept_and_only_its_output_is_cut() -> None:
    own = LSTM(1, 1, "hard")
    with torch.no_grad():
        own.bias_ih.fill_(4.0)  # every gate at 1: the cell counts
    y, (_, c) = own.step(torch.zeros(1, 5, 1), own.initial_state(1))
    assert c.item() == 5.0
    assert y.max().item() == 1.0


@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("cuts", [[1, 2, 3], [0, 9], [19]])
def test_any_chunking_gives_the_frames_of_one_big_step(
    activation: Activation, cuts: list[int]
) -> None:
    own = layer(activation)
    x = torch.randn(3, 20, 7)
    whole, last = own.step(x, own.initial_state(3))
    pieces, now = [], own.initial_state(3)
    for chunk in torch.tensor_split(x, cuts, dim=1):
        y, now = own.step(chunk, now)
        pieces.append(y)
    # Products over other numbers of rows round differently: 1e-6 is some ten units in the last place.
    torch.testing.assert_close(torch.cat(pieces, dim=1), whole, rtol=0, atol=2e-6)
    for a, b in zip(now, last, strict=True):
        torch.testing.assert_close(a, b, rtol=0, atol=1e-5)


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_nan_reaches_no_other_row_and_nothing_earlier(activation: Activation) -> None:
    own = layer(activation)
    x = torch.randn(3, 10, 7)
    clean, _ = own.step(x, own.initial_state(3))
    x[1, 4] = torch.nan
    y, _ = own.step(x, own.initial_state(3))
    torch.testing.assert_close(y[[0, 2]], clean[[0, 2]], rtol=0, atol=0)
    torch.testing.assert_close(y[1, :4], clean[1, :4], rtol=0, atol=0)
    assert y[1, 4:].isnan().all()


def test_inputs_of_any_layout_give_the_same() -> None:
    own = layer("hard")
    x = torch.randn(3, 10, 14)
    sliced, _ = own.step(x[:, ::2, ::2], own.initial_state(3))
    packed, _ = own.step(x[:, ::2, ::2].contiguous(), own.initial_state(3))
    torch.testing.assert_close(sliced, packed, rtol=0, atol=0)


def test_a_frozen_input_or_weight_leaves_the_other_gradients_as_they_are() -> None:
    own, x = layer("hard"), torch.randn(3, 10, 7)
    own.step(x, own.initial_state(3))[0].sum().backward()
    want = own.bias_hh.grad.clone()
    own.zero_grad()
    own.weight_ih.requires_grad_(False)
    own.step(x, own.initial_state(3))[0].sum().backward()
    assert own.weight_ih.grad is None
    torch.testing.assert_close(own.bias_hh.grad, want, rtol=0, atol=0)


def test_no_frames_change_no_state() -> None:
    own = layer("hard")
    before = state(3)
    y, after = own.step(torch.zeros(3, 0, 7), before)
    assert y.shape == (3, 0, 5)
    assert after is before


@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("how", ["plain", "another device"])
def test_torchs_own_operations_compute_the_same(activation: Activation, how: str) -> None:
    own = layer(activation, gain=3.0).double()  # so that some gates are at their bounds
    x = torch.randn(3, 9, 7, dtype=torch.float64)
    before = state(3, dtype=torch.float64)
    y, last = own.step(x, before)
    (y.sum() + last[1].sum()).backward()
    want = {n: getattr(own, n).grad.clone() for n in NAMES}
    own.zero_grad()
    if how == "plain":
        z, *after = layers.plain_layer(
            x.transpose(0, 1), own.weight_ih, own.weight_hh, own.bias_ih + own.bias_hh, *before,
            activation == "hard",
        )  # fmt: skip
        z = z.transpose(0, 1)
        (z.sum() + after[1].sum()).backward()
        got = {n: getattr(own, n).grad for n in NAMES}
    else:
        with Elsewhere():
            own.to(DEVICE)
            z, after = own.step(x.to(DEVICE), tuple(leaf.to(DEVICE) for leaf in before))
            (z.sum() + after[1].sum()).backward()
            got = {n: getattr(own, n).grad.cpu() for n in NAMES}
            z, after = z.cpu(), [leaf.cpu() for leaf in after]
    torch.testing.assert_close(z, y, rtol=0, atol=1e-13)
    torch.testing.assert_close(tuple(after), last, rtol=0, atol=1e-13)
    for name in NAMES:
        torch.testing.assert_close(got[name], want[name], rtol=0, atol=1e-11)


def test_the_soft_cells_gradient_in_torchs_operations_is_that_of_the_loop() -> None:
    generator = torch.Generator().manual_seed(0)

    def draw(*shape: int) -> Any:
        return torch.randn(*shape, generator=generator, dtype=torch.float64)

    a, c, squashed = draw(3, 20).sigmoid(), draw(3, 5), draw(3, 5).tanh()
    d_out, dh, dc = draw(3, 5), draw(3, 5), draw(3, 5)
    results = []
    for cell, take in (
        (compiled_cells.soft_cell_backward, lambda tensor: tensor.numpy()),
        (tensor_cells.soft_cell_backward, lambda tensor: tensor),
    ):
        own, da = dc.clone(), torch.empty(3, 20, dtype=torch.float64)
        cell(*map(take, (a, c, squashed, d_out, dh, own, da)))
        results.append((own, da))
    torch.testing.assert_close(results[0], results[1], rtol=0, atol=1e-14)


@pytest.mark.parametrize("kind", ACTIVATIONS)
def test_the_compiled_cell_is_that_of_torchs_operations(kind: Activation) -> None:
    """Over large and small values; NaN passes."""
    generator = torch.Generator().manual_seed(0)
    z = 10.0 ** torch.linspace(-6.0, 2.0, 3 * 4 * 50).view(3, 200)
    z *= torch.randn(3, 200, generator=generator).sign()
    bias, c = torch.zeros(200), torch.randn(3, 50, generator=generator)
    z[0, 7], c[1, 8] = torch.nan, torch.nan
    results = []
    for cells, take in ((compiled_cells, torch.Tensor.numpy), (tensor_cells, torch.Tensor.double)):
        out = [torch.full((3, n), 9.0) for n in (200, 50, 50)]
        taken = [take(tensor) for tensor in (z, bias, c, *out)]
        getattr(cells, f"{kind}_cell")(*taken)
        results.append([torch.as_tensor(each).float() for each in taken[3:]])
    assert torch.isnan(results[0][2]).nonzero().tolist() == [[0, 7], [1, 8]]
    torch.testing.assert_close(*results, rtol=3e-7, atol=3e-7, equal_nan=True)


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_frames_past_a_rows_end_cost_nothing_and_change_nothing(activation: Activation) -> None:
    own = layer(activation, gain=3.0)
    lengths = [4, 9, 0, 7]
    x = torch.randn(4, 9, 7)
    before = tuple(leaf.requires_grad_() for leaf in state(4))
    weight = torch.randn(9, 1)

    def run(many: Any) -> tuple[Any, ...]:
        own.zero_grad()
        inputs = x.clone().requires_grad_()
        y, (h, c), wanted = (
            *many(inputs),
            torch.randn(4, 5, generator=torch.Generator().manual_seed(1)),
        )
        kept = torch.stack([(y[row, :n] * weight[:n]).sum() for row, n in enumerate(lengths)])
        (kept.sum() + (h * wanted).sum() + (c * wanted).sum()).backward()
        found = [y[row, :n] for row, n in enumerate(lengths)], h, c, inputs.grad
        grads = [getattr(own, n).grad.clone() for n in NAMES] + [
            leaf.grad.clone() for leaf in before
        ]
        for leaf in before:
            leaf.grad = None
        return *found, *grads

    def each_alone(inputs: Any) -> Any:
        outputs, last = [], []
        for row, n in enumerate(lengths):
            y, after = own.step(
                inputs[row : row + 1, :n], tuple(leaf[row : row + 1] for leaf in before)
            )
            outputs.append(torch.cat([y, torch.zeros(1, 9 - n, 5)], dim=1))
            last.append(after)
        return torch.cat(outputs), tuple(map(torch.cat, zip(*last, strict=True)))

    got = run(lambda inputs: own.step(inputs, before, lengths=lengths))
    want = run(each_alone)
    torch.testing.assert_close(got, want, rtol=1e-4, atol=1e-5)
    assert not got[3][0, 4:].any() and not got[3][2].any()


def test_initialisation_draws_every_tensor_and_sets_the_forget_bias_after_scaling() -> None:
    own = LSTM(30, 64, "hard")
    own.initialise(torch.Generator().manual_seed(1), scale=0.5, forget_bias=1.0)
    bound = 0.5 / 8.0  # 0.5 / sqrt(64)
    for name in ("weight_ih", "weight_hh"):
        value = getattr(own, name).detach()
        assert 0.95 * bound < value.abs().max() <= bound
        assert value.mean().abs() < 0.02 * bound
    assert (own.bias_ih[64:128] == 1.0).all()
    assert (own.bias_hh[64:128] == 0.0).all()
    assert 0.0 < own.bias_ih[:64].abs().max() <= bound
    again = LSTM(30, 64, "hard")
    again.initialise(torch.Generator().manual_seed(1))
    assert torch.equal(again.weight_hh, own.weight_hh)


def test_recurrent_dropout_drops_weights_once_a_sequence_and_only_in_training() -> None:
    own = layer("hard")
    dropping = LSTM(7, 5, "hard", recurrent_dropout=0.5)
    dropping.load_state_dict(own.state_dict())
    x = torch.randn(3, 10, 7)
    want, _ = own.step(x, own.initial_state(3))
    torch.manual_seed(5)
    y, _ = dropping.step(x, dropping.initial_state(3))
    torch.manual_seed(5)
    kept = torch.nn.functional.dropout(torch.ones(20, 5), 0.5)
    with torch.no_grad():
        own.weight_hh.mul_(kept)
    masked, _ = own.step(x, own.initial_state(3))
    torch.testing.assert_close(y, masked, rtol=0, atol=1e-6)
    y.sum().backward()
    assert (dropping.weight_hh.grad[kept == 0] == 0).all()
    dropping.eval()
    torch.testing.assert_close(dropping.step(x, dropping.initial_state(3))[0], want)


@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("pays", [False, True])
def test_autocast_keeps_types_and_changes_little(
    activation: Activation, pays: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(layers, "_cpu_has_bf16", lambda: pays)
    own = layer(activation, inputs=64, hidden=32, gain=0.1)
    x = torch.randn(4, 30, 64, requires_grad=True)
    y, _ = own.step(x, own.initial_state(4))
    want = torch.autograd.grad(y.square().sum(), [x, own.weight_hh])
    with torch.autocast("cpu", torch.bfloat16):
        z, _ = own.step(x, own.initial_state(4))
        assert z.dtype == torch.float32
        got = torch.autograd.grad(z.square().sum(), [x, own.weight_hh])
    torch.testing.assert_close(z, y, rtol=0, atol=0.02 if pays else 1e-6)
    for g, w in zip(got, want, strict=True):
        assert g.dtype == torch.float32
        # Rounding moves some hard gates across a bound, and their derivative with them.
        assert (g - w).norm() < (0.05 if pays else 1e-5) * w.norm()


def test_a_bfloat16_input_as_autocast_leaves_it_is_taken() -> None:
    own = layer("hard")
    x = torch.randn(3, 10, 7).bfloat16().requires_grad_()
    with torch.autocast("cpu", torch.bfloat16):
        y, _ = own.step(x, own.initial_state(3))
    y.sum().backward()
    assert y.dtype == torch.float32
    assert x.grad is not None and x.grad.dtype == torch.bfloat16


def test_flushed_denormals_and_tiny_gradients_stay_finite() -> None:
    own = layer("hard")
    x = torch.full((2, 20, 7), 1e-39, requires_grad=True)
    y, _ = own.step(x, own.initial_state(2))
    (y * 1e-38).sum().backward()
    assert x.grad.isfinite().all()


def test_lstm_vectors(golden: Path) -> None:
    files = [p for p in sorted(golden.glob("lstm_*.npz")) if "quant" not in p.name]
    assert files
    for path in files:
        z = np.load(path)
        activation: Activation = "hard" if bool(z["hard"]) else "soft"
        x = torch.from_numpy(z["x"]).transpose(0, 1)
        for n in range(int(z["num_layers"])):
            own = LSTM(x.shape[2], z[f"weight_hh_l{n}"].shape[1], activation)
            own.load_state_dict({k: torch.from_numpy(z[f"{k}_l{n}"]) for k in NAMES})
            before = tuple(torch.from_numpy(z[k][n]) for k in ("h0", "c0"))
            x, (h, c) = own.step(x, before)
            np.testing.assert_allclose(h.detach(), z["hn"][n], atol=2e-6, err_msg=path.name)
            np.testing.assert_allclose(c.detach(), z["cn"][n], atol=5e-6, err_msg=path.name)
        np.testing.assert_allclose(x.detach().transpose(0, 1), z["y"], atol=2e-6, err_msg=path.name)
