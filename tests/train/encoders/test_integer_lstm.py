"""The quantised layer against the fixed-point specification, value by value, and against slow autograd."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest

from tests.places import VECTORS

torch = pytest.importorskip("torch")

from hwckpt.conformance.comparison import read_vectors
from stream.integer.fixed import lstm_step
from stream.integer.network import IntegerLayer, to_integers
from stream.model.network import Network
from stream.model.quantisation import Quantisation
from stream.model.specification import ModelError
from tests.tiny import tiny_network
from train.encoders import integer_lstm as quantised
from train.encoders import lstm_layer as layers
from train.encoders.integer_lstm import QuantisedLSTM
from train.model import Transducer

NAMES = ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
INPUT = 4  # exponent
# Factors of the weights W_ih and W_hh and of the biases, bits; what they bring about.
CASES: dict[str, tuple[float, float, float, int]] = {
    "usual": (1.0, 1.0, 1.0, 8),
    "saturated, no shift out": (40.0, 16.0, 20.0, 8),
    "x shifted left": (1.0, 1.0 / 256.0, 1.0, 8),
    "h shifted left": (1.0 / 256.0, 1.0, 1.0, 8),
    "small weights, large shift out": (1.0 / 16.0, 1.0 / 64.0, 1.0, 8),
    "cells that count up": (0.01, 0.01, 40.0, 8),
    "four bits": (1.0, 1.0, 1.0, 4),
}


def network(case: str) -> Network:
    of_x, of_h, of_bias, bits = CASES[case]
    plain = tiny_network(seed=3)
    arrays = dict(plain.arrays)
    for key, factor in (("weight_ih", of_x), ("weight_hh", of_h), ("bias_ih", of_bias)):
        name = f"encoder.pre.0.{key}"
        arrays[name] = np.float32(factor) * arrays[name]
    chosen = Quantisation(input=INPUT, joint=5, weight_bits={"encoder.pre.0": bits})
    specification = msgspec.structs.replace(plain.specification, quantisation=chosen)
    return dataclasses.replace(plain, specification=specification, arrays=arrays)


def pair(case: str) -> tuple[QuantisedLSTM, IntegerLayer]:
    """Return the layer that trains, and its integers."""
    made = network(case)
    lstm = Transducer.from_network(made).encoder.pre[0].lstm
    assert isinstance(lstm, QuantisedLSTM)
    return lstm, to_integers(made).pre[0]


def integers(*shape: int) -> Any:
    return np.random.default_rng(5).integers(-128, 128, shape)


@pytest.fixture(params=["int8", "float32", "float64"])
def product(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """The products run in that type."""
    if request.param == "int8" and not quantised.int8_pays():
        pytest.skip("this CPU has no instructions for int8")
    monkeypatch.setattr(quantised, "int8_pays", lambda: request.param == "int8")
    monkeypatch.setattr(quantised, "FLOAT32_EXACT", (1 << 24) * (request.param == "float32"))
    return str(request.param)


@pytest.mark.parametrize("case", CASES)
def test_forward_equals_fixed_point_value_by_value(case: str, product: str) -> None:
    own, layer = pair(case)
    x = integers(3, 40, 240)
    y, (last_h, last_c) = own.step(
        torch.from_numpy(x).float() / 2**INPUT, own.initial_state(3), INPUT
    )
    h = c = np.zeros((3, 16), np.int64)
    cells = []
    for t in range(40):
        h, c = lstm_step(layer, x[:, t], h, c)
        cells.append(c)
        np.testing.assert_array_equal(y[:, t].detach().numpy() * 128, h)
    np.testing.assert_array_equal(last_h.detach().numpy() * 128, h)
    np.testing.assert_array_equal(last_c.detach().numpy() * 4096, c)
    assert y.dtype == last_c.dtype == torch.float32
    if case == "cells that count up":
        assert {np.max(cells), np.min(cells)} == {32767, -32768}


def test_the_cases_shift_both_products_to_the_left_and_by_all_kinds_to_the_right() -> None:
    made = {case: pair(case)[1] for case in CASES}
    assert max(layer.shift_x for layer in made.values()) > 4
    assert max(layer.shift_h for layer in made.values()) > 4
    assert {0} < {layer.shift for layer in made.values()}


def test_the_integers_are_those_of_the_network() -> None:
    own, layer = pair("four bits")
    weight_ih, weight_hh, bias, shifts = own._quantise(INPUT)
    assert (shifts.x, shifts.h, shifts.out) == (layer.shift_x, layer.shift_h, layer.shift)
    assert shifts.bound == layer.bound.max()
    f = layer.shift + 12
    for got, want, exponent in (
        (weight_ih, layer.weight_ih, f - shifts.x - INPUT),
        (weight_hh, layer.weight_hh, f - shifts.h - 7),
        (bias, layer.bias, f),
    ):
        np.testing.assert_array_equal(got.detach().numpy() * 2.0**exponent, want)


def through(x: Any, value: Any) -> Any:
    """Return the value, with the gradient of x."""
    return value.detach() + (x - x.detach())


def slow_weight(weight: Any, bits: int) -> Any:
    largest = 2 ** (bits - 1) - 1
    f = bits - 1 - int(np.ceil(np.log2(float(weight.detach().abs().max()))))
    scaled = weight * 2.0**f
    kept = torch.where(scaled.detach().round().abs() <= largest, scaled, scaled.detach())
    return through(kept, scaled.round().clamp(-largest, largest)) / 2.0**f


def slow_layer(own: QuantisedLSTM, x: Any, h: Any, c: Any, bits: int) -> Any:
    """Compute the layer by autograd in float64, every rounding passed straight through."""
    hardtanh = torch.nn.functional.hardtanh  # its derivative is 0 at the bounds
    weight_ih, weight_hh = (slow_weight(w, bits) for w in (own.weight_ih, own.weight_hh))
    bias = own.bias_ih + own.bias_hh
    f = own._quantise(INPUT)[3].out + 12
    bias = through(bias, (bias * 2.0**f).round() / 2.0**f)
    inside = ((x.detach() * 16).round() >= -128) & ((x.detach() * 16).round() <= 127)
    x = through(torch.where(inside, x, x.detach()), (x * 16).round().clamp(-128, 127) / 16)
    outputs = []
    for frame in x.unbind(1):
        z = frame @ weight_ih.t() + h @ weight_hh.t() + bias
        z = through(z, (z * 4096).round() / 4096)
        i, f_, g, o = z.chunk(4, -1)
        i, f_, o = (hardtanh(v / 8 + 0.5, 0.0, 1.0) for v in (i, f_, o))
        p = f_ * c + i * hardtanh(g)
        c = hardtanh(through(p, (p * 4096).round() / 4096), -8.0, 32767 / 4096)
        u = o * hardtanh(c)
        h = through(u, (u * 128).round().clamp(-128, 127) / 128)
        outputs.append(h)
    return torch.stack(outputs, 1), h, c


@pytest.mark.parametrize("case", CASES)
def test_gradients_are_those_of_the_straight_through_model(case: str) -> None:
    own = pair(case)[0].double()
    rng = np.random.default_rng(2)
    # Inputs between the integers, some beyond them; a state on them.
    x = torch.from_numpy(rng.normal(0.0, 4.0, (3, 20, 240)))
    h = torch.from_numpy(rng.integers(-128, 128, (3, 16)) / 128)
    c = torch.from_numpy(rng.integers(-9000, 9000, (3, 16)) / 4096)
    weight = torch.from_numpy(rng.normal(0.0, 1.0, (3, 20, 16)))
    found = []
    for layer in (lambda *a: own.step(a[0], a[1:], INPUT), lambda *a: slow_layer(own, *a, CASES[case][3])):  # fmt: skip
        given = [v.clone().requires_grad_() for v in (x, h, c)]
        own.zero_grad()
        y, *last = layer(*given)
        last_h, last_c = last if len(last) == 2 else last[0]
        ((y * weight).sum() + (last_h * last_c).sum()).backward()
        gradients = [v.grad for v in given] + [getattr(own, n).grad.clone() for n in NAMES]
        found.append((y.detach(), gradients))
    (y, ours), (z, slow) = found
    torch.testing.assert_close(y, z, rtol=0, atol=0)
    for got, want in zip(ours, slow, strict=True):
        assert want.abs().max() > 0 or case == "saturated, no shift out"
        torch.testing.assert_close(got, want, rtol=1e-9, atol=1e-11)


@pytest.mark.parametrize("pays", [False, True])
def test_autocast_leaves_the_forward_exact_and_rounds_gradients(
    pays: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(layers, "_cpu_has_bf16", lambda: pays)
    own, _ = pair("usual")
    x = torch.from_numpy(integers(4, 30, 240)).float() / 16
    y, _ = own.step(x, own.initial_state(4), INPUT)
    want = torch.autograd.grad(y.square().sum(), list(own.parameters()))
    with torch.autocast("cpu", torch.bfloat16):
        z, _ = own.step(x, own.initial_state(4), INPUT)
    assert torch.equal(z, y)
    got = torch.autograd.grad(z.square().sum(), list(own.parameters()))
    for g, w in zip(got, want, strict=True):
        assert g.dtype == torch.float32
        assert (g - w).norm() <= (0.02 if pays else 1e-6) * w.norm()
        assert not pays or (g != w).any()


def test_any_chunking_gives_the_integers_of_one_big_step() -> None:
    own, _ = pair("usual")
    x = torch.from_numpy(integers(2, 20, 240)).float() / 16
    whole, last = own.step(x, own.initial_state(2), INPUT)
    pieces, now = [], own.initial_state(2)
    for chunk in torch.tensor_split(x, [1, 2, 9], dim=1):
        y, now = own.step(chunk, now, INPUT)
        pieces.append(y)
    assert torch.equal(torch.cat(pieces, dim=1), whole)
    assert all(torch.equal(a, b) for a, b in zip(now, last, strict=True))


def test_no_frames_change_no_state() -> None:
    own, _ = pair("usual")
    before = own.initial_state(3)
    y, after = own.step(torch.zeros(3, 0, 240), before, INPUT)
    assert y.shape == (3, 0, 16)
    assert after is before


def test_weights_that_change_are_quantised_again() -> None:
    own, _ = pair("usual")
    x = torch.from_numpy(integers(2, 20, 240)).float() / 16
    with torch.inference_mode():
        first, _ = own.step(x, own.initial_state(2), INPUT)
        assert torch.equal(own.step(x, own.initial_state(2), INPUT)[0], first)
    with torch.no_grad():
        own.weight_ih.mul_(0.5)
    with torch.inference_mode():
        assert not torch.equal(own.step(x, own.initial_state(2), INPUT)[0], first)


def test_an_accumulator_that_may_overflow_is_refused_with_its_layer_and_row() -> None:
    own, _ = pair("usual")
    with torch.no_grad():
        own.bias_hh[5] = 3e5
    with pytest.raises(ModelError, match=r"encoder\.pre\.0: row 5 of the accumulator may reach"):
        own.step(torch.zeros(1, 1, 240), own.initial_state(1), INPUT)


def test_a_weight_that_is_not_a_number_is_refused_with_its_name() -> None:
    own, _ = pair("usual")
    with torch.no_grad():
        own.weight_hh[0, 0] = torch.nan
    with pytest.raises(ModelError, match=r"encoder\.pre\.0\.weight_hh: its largest weight is nan"):
        own.step(torch.zeros(1, 1, 240), own.initial_state(1), INPUT)


@pytest.fixture
def asked_again() -> Iterator[None]:
    quantised.int8_pays.cache_clear()
    yield
    quantised.int8_pays.cache_clear()


@pytest.mark.usefixtures("asked_again")
def test_a_product_that_saturates_is_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    def saturating(x: Any, weight: Any) -> Any:
        return (x.int() @ weight.int()).clamp(-(1 << 15), (1 << 15) - 1)

    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"avx512_vnni": True})
    monkeypatch.setattr(torch, "_int_mm", lambda x, weight: x.int() @ weight.int())
    assert quantised.int8_pays()
    quantised.int8_pays.cache_clear()
    monkeypatch.setattr(torch, "_int_mm", saturating)
    assert not quantised.int8_pays()


@pytest.mark.usefixtures("asked_again")
@pytest.mark.parametrize("lacks", ["the call", "the instructions"])
def test_floats_stand_in_where_int8_has_no(lacks: str, monkeypatch: pytest.MonkeyPatch) -> None:
    has = {"avx2": True, "avx512_vnni": lacks != "the instructions"}
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: has)
    if lacks == "the call":
        monkeypatch.delattr(torch, "_int_mm")
    assert not quantised.int8_pays()


def test_the_largest_sums_are_exact_in_every_type(product: str) -> None:
    x = torch.full((5, 600), -128, dtype=torch.int8)
    weight = torch.full((8, 600), 127, dtype=torch.int8)
    made = quantised.IntegerProduct(weight, 5, bound=128 * 127 * 600)
    assert (made(x) == -128 * 127 * 600).all()


VECTORS = sorted(VECTORS.glob("integer_lstm_*.npz"))


@pytest.mark.parametrize("path", VECTORS, ids=lambda path: path.stem)
def test_every_state_of_the_conformance_vectors_is_reached_bit_for_bit(
    path: Path, product: str
) -> None:
    z = read_vectors(path)
    shift_x, shift_h, shift = (int(z[name]) for name in ("shift_x", "shift_h", "shift"))
    f, input_exponent = shift + 12, 7

    def floats(name: str, exponent: int, dtype: Any = torch.float32) -> Any:
        return torch.from_numpy(np.ldexp(z[name].astype(np.float64), -exponent)).to(dtype)

    bound = int(z["bound"].max())
    shifts = quantised._Shifts(input_exponent, shift_x, shift_h, shift, bound)
    weight_ih = floats("weight_ih", f - shift_x - input_exponent)
    weight_hh = floats("weight_hh", f - shift_h - 7)
    bias, h, c = floats("bias", f, torch.float64), floats("h0", 7), floats("c0", 12)
    found_h, found_c = [], []
    for frame in floats("x", input_exponent):  # a frame at a time, to see every c
        _, h, c = quantised._QuantisedLayer.apply(  # type: ignore[no-untyped-call]
            frame[None], weight_ih, weight_hh, bias, h, c, shifts
        )
        found_h.append(h)
        found_c.append(c)
    np.testing.assert_array_equal(np.ldexp(torch.stack(found_h).numpy(), 7), z["h"])
    np.testing.assert_array_equal(np.ldexp(torch.stack(found_c).numpy(), 12), z["c"])


def test_there_are_vectors_of_every_kind() -> None:
    assert len(VECTORS) >= 7
