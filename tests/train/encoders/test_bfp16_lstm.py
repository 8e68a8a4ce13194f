"""The layer that trains in block floating point against the readable one, the vectors and slow autograd."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.places import VECTORS

torch = pytest.importorskip("torch")

from hwckpt.conformance.comparison import read_vectors
from hwckpt.conformance.stages import layer_arrays
from stream.encoders.bfp16 import bf16, bfp
from stream.encoders.lstm_layer import Activation
from stream.encoders.lstm_layer import LSTMLayer as Reference
from tests.train.compute.elsewhere import DEVICE, Elsewhere
from train.encoders import bfp16_lstm as block_floating
from train.encoders import lstm_layer as layers
from train.encoders.bfp16_lstm import BlockFloatingLSTM

NAMES = ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
ACTIVATIONS: tuple[Activation, ...] = ("hard", "soft")
FEW = (
    2.0**-6
)  # some roundings of bfloat16: a sum in another order may fall to the other side of a tie
FILES = sorted(VECTORS.glob("lstm_quant_*.npz"))


@pytest.fixture(autouse=True)
def seeded() -> None:
    torch.manual_seed(0)


def layer(
    activation: Activation, gain: float = 0.8, inputs: int = 21, hidden: int = 12
) -> BlockFloatingLSTM:
    """Return a layer of normal weights, of sizes that blocks do not divide."""
    made = BlockFloatingLSTM(inputs, hidden, activation)
    with torch.no_grad():
        for parameter in made.parameters():
            parameter.normal_(
                0.0, gain * (parameter.shape[-1] ** -0.5 if parameter.ndim == 2 else 1)
            )
    return made


def arrays(own: BlockFloatingLSTM) -> dict[str, Any]:
    return {name: getattr(own, name).detach().numpy() for name in NAMES}


@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("gain", [0.2, 0.8, 3.0])
def test_training_computes_what_the_card_computes(activation: Activation, gain: float) -> None:
    own = layer(activation, gain)
    x, state = 3.0 * torch.randn(3, 60, 21), (torch.randn(3, 12), torch.randn(3, 12))
    y, (last_h, last_c) = own.step(x, state)
    given = x.numpy(), tuple(v.numpy() for v in state)
    want, (want_h, want_c) = Reference(arrays(own), activation, "bfp16").step(*given)
    for got, wanted in ((y, want), (last_h, want_h), (last_c, want_c)):
        np.testing.assert_allclose(got.detach(), wanted, rtol=FEW, atol=FEW)
    assert (y.detach().numpy() == want).mean() > 0.9
    plain, _ = Reference(arrays(own), activation).step(*given)
    assert (y.detach().numpy() == plain).mean() < 0.8


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_training_reaches_the_states_of_the_conformance_vectors(path: Path) -> None:
    z = read_vectors(path)
    x, after = torch.from_numpy(z["x"].transpose(1, 0, 2).copy()), []
    for weights, h, c in zip(layer_arrays(z), z["h0"], z["c0"], strict=True):
        hidden = weights["weight_hh"].shape[1]
        own = BlockFloatingLSTM(x.shape[2], hidden, "hard" if z["hard"] else "soft")
        own.load_state_dict({key: torch.from_numpy(value) for key, value in weights.items()})
        with torch.no_grad():
            x, last = own.step(x, (torch.from_numpy(h), torch.from_numpy(c)))
        after.append(last)
    np.testing.assert_allclose(x.transpose(0, 1), z["y"], rtol=FEW, atol=FEW)
    for index, key in enumerate(("hn", "cn")):
        states = np.stack([state[index] for state in after])
        np.testing.assert_allclose(states, z[key], rtol=FEW, atol=FEW)


def slow_layer(own: BlockFloatingLSTM, x: Any, h: Any, c: Any) -> tuple[Any, Any, Any]:
    """Compute the layer by autograd in float64, every rounding passed straight through."""

    def through(rounding: Any, value: Any) -> Any:
        return rounding(value.detach().float()).double() + (value - value.detach())

    def rounded_sigmoid(v: Any) -> Any:
        # The hard one is cut again behind the rounding, which may reach a bound: nothing passes there.
        return cut(through(bf16, v / 8 + 0.5), 0.0, 1.0) if hard else through(bf16, v.sigmoid())

    cut = torch.nn.functional.hardtanh  # its derivative is 0 at the bounds
    hard = own.activation == "hard"
    weight_ih, weight_hh = (through(bfp, w.double()) for w in (own.weight_ih, own.weight_hh))
    bias = through(bf16, own.bias_ih.double()) + through(bf16, own.bias_hh.double())
    outputs = []
    for frame in through(bfp, x).unbind(1):
        z = through(bf16, frame @ weight_ih.t() + through(bfp, h) @ weight_hh.t() + bias)
        i, f, g, o = z.chunk(4, -1)
        i, f, o = (rounded_sigmoid(v) for v in (i, f, o))
        g = cut(through(bf16, g)) if hard else through(bf16, g.tanh())
        c = through(bf16, f * c + i * g)
        h = through(bf16, o * (cut(c) if hard else c.tanh()))
        outputs.append(h)
    return torch.stack(outputs, 1), h, c


def gradients(own: BlockFloatingLSTM, compute: Any, dtype: Any) -> tuple[Any, list[Any]]:
    """Return outputs, and the gradients of x, h, c and the parameters under a weighted sum."""
    torch.manual_seed(1)
    given = [
        v.to(dtype).requires_grad_() for v in (2.0 * torch.randn(3, 20, 21), *torch.randn(2, 3, 12))
    ]
    weight = torch.randn(3, 20, 12)
    own.zero_grad()
    y, last_h, last_c = compute(*given)
    ((y * weight).sum() + (last_h * last_c).sum()).backward()
    return y.detach(), [v.grad for v in given] + [getattr(own, n).grad.clone() for n in NAMES]


@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("gain", [0.8, 3.0])
def test_gradients_are_those_of_the_straight_through_model(
    activation: Activation, gain: float
) -> None:
    own = layer(activation, gain)

    def fast(x: Any, h: Any, c: Any) -> tuple[Any, Any, Any]:
        y, (last_h, last_c) = own.step(x, (h, c))
        return y, last_h, last_c

    y, ours = gradients(own, fast, torch.float32)
    want, slow = gradients(own, lambda *given: slow_layer(own, *given), torch.float64)
    torch.testing.assert_close(y.double(), want, rtol=FEW, atol=FEW)
    for got, wanted in zip(ours, slow, strict=True):
        assert wanted.norm() > 0
        assert (got - wanted).norm() < 0.02 * wanted.norm()


@pytest.mark.parametrize("pays", [False, True])
def test_autocast_leaves_the_forward_as_it_is_and_rounds_gradients(
    pays: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(layers, "_cpu_has_bf16", lambda: pays)
    own = layer("hard")
    x = torch.randn(4, 30, 21)
    y, _ = own.step(x, own.initial_state(4))
    want = torch.autograd.grad(y.square().sum(), list(own.parameters()))
    with torch.autocast("cpu", torch.bfloat16):
        z, _ = own.step(x.bfloat16() if pays else x, own.initial_state(4))
    if not pays:
        assert torch.equal(z, y)
    got = torch.autograd.grad(z.square().sum(), list(own.parameters()))
    for g, w in zip(got, want, strict=True):
        assert g.dtype == torch.float32
        assert (g - w).norm() <= (0.02 if pays else 1e-6) * w.norm()
        assert not pays or (g != w).any()


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_chunks_give_what_one_big_step_gives(activation: Activation) -> None:
    own = layer(activation)
    x = torch.randn(2, 20, 21)
    whole, last = own.step(x, own.initial_state(2))
    pieces, now = [], own.initial_state(2)
    for chunk in torch.tensor_split(x, [1, 2, 9], dim=1):
        y, now = own.step(chunk, now)
        pieces.append(y)
    torch.testing.assert_close(torch.cat(pieces, dim=1), whole, rtol=FEW, atol=FEW)
    for a, b in zip(now, last, strict=True):
        torch.testing.assert_close(a, b, rtol=FEW, atol=FEW)


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_another_device_computes_the_same_values_and_gradients(activation: Activation) -> None:
    own = layer(activation)
    x = torch.randn(2, 9, 21)
    y, _ = own.step(x, own.initial_state(2))
    want = torch.autograd.grad(y.square().sum(), list(own.parameters()))
    with Elsewhere():
        own.to(DEVICE)
        z, _ = own.step(x.to(DEVICE), own.initial_state(2))
        got = torch.autograd.grad(z.square().sum(), list(own.parameters()))
        z, got = z.cpu(), [gradient.cpu() for gradient in got]
    torch.testing.assert_close(z, y, rtol=FEW, atol=FEW)
    for g, w in zip(got, want, strict=True):
        assert (g - w).norm() <= 0.02 * w.norm()


def test_no_frames_change_no_state() -> None:
    own = layer("hard")
    before = own.initial_state(3)
    y, after = own.step(torch.zeros(3, 0, 21), before)
    assert y.shape == (3, 0, 12)
    assert after is before


def test_weights_are_rounded_once_while_they_stay(monkeypatch: pytest.MonkeyPatch) -> None:
    own = layer("hard")
    x = torch.randn(2, 5, 21)
    calls = []
    through = block_floating._through
    monkeypatch.setattr(
        block_floating, "_through", lambda of, v: calls.append(tuple(v.shape)) or through(of, v)
    )
    with torch.inference_mode():
        first, _ = own.step(x, own.initial_state(2))
        again, _ = own.step(x, own.initial_state(2))
    assert torch.equal(first, again)
    assert calls.count((48, 12)) == 1
    with torch.no_grad():
        own.weight_hh.mul_(2.0)
        assert not torch.equal(own.step(x, own.initial_state(2))[0], first)


def test_nan_is_not_hidden() -> None:
    own = layer("hard")
    x = torch.randn(1, 6, 21)
    x[0, 3, 2] = torch.nan
    y, _ = own.step(x, own.initial_state(1))
    assert y[0, :3].isfinite().all()
    assert y[0, 3:].isnan().all()
