"""Brevitas' quantisers give the integers of the rules; the linear layers are those of the specification."""

from __future__ import annotations

import dataclasses
from typing import Any

import msgspec
import numpy as np
import pytest

torch = pytest.importorskip("torch")

import brevitas.nn
from brevitas.core.function_wrapper import Identity, TensorClamp
from brevitas.core.quant import IntQuant
from brevitas.quant import Int8WeightPerTensorFixedPoint

from stream.integer import fixed
from stream.integer import network as integer
from stream.model.network import Network
from stream.model.quantisation import Quantisation
from stream.model.specification import ModelError
from tests.tiny import tiny_network
from train.encoders import quantisers
from train.encoders.quantisers import hidden, quantise_bias, quantise_signed, quantise_weight
from train.model import Transducer


def weights(kind: str) -> Any:
    weight = torch.randn(24, 16, generator=torch.Generator().manual_seed(1)).clamp(-3.9, 3.9)
    if kind == "largest a power of two":
        weight[3, 4] = 4.0
    if kind == "largest just above a power of two":
        weight[3, 4] = 4.0 * (1.0 + 2.0**-12)
    if kind == "halves":  # ties
        weight = (torch.arange(-64.0, 64.0) + 0.5).view(8, 16) / 64
    return weight


@pytest.mark.parametrize("bits", [8, 4])
@pytest.mark.parametrize(
    "kind",
    ["normal", "largest a power of two", "largest just above a power of two", "halves"],
)
def test_the_integers_are_those_of_brevitas_own_layer_and_of_rule_1(kind: str, bits: int) -> None:
    weight = weights(kind)
    theirs = brevitas.nn.QuantLinear(
        weight.shape[1],
        weight.shape[0],
        bias=False,
        weight_quant=Int8WeightPerTensorFixedPoint,
        weight_bit_width=bits,
    )
    with torch.no_grad():
        theirs.weight.copy_(weight)
    got, f = quantise_weight("w", weight, bits)
    want, exponent = integer.quantise_weight(weight.numpy(), bits)
    assert f == exponent
    np.testing.assert_array_equal(got.numpy() * 2.0**f, want)
    np.testing.assert_array_equal(theirs.quant_weight().int().numpy(), want)


@pytest.mark.parametrize(
    ("ours", "signed", "narrow"),
    [
        (quantisers._NARROW, True, True),
        (quantisers._SIGNED, True, False),
        (quantisers._UNSIGNED, False, False),
    ],
)
@pytest.mark.parametrize("bits", [4, 8, 16])
def test_the_fused_quantiser_is_brevitas_and_its_gradient_too(
    ours: IntQuant, signed: bool, narrow: bool, bits: int
) -> None:
    theirs = IntQuant(narrow, signed, input_view_impl=Identity(), tensor_clamp_impl=TensorClamp())
    constants = torch.tensor(2.0**-3), torch.tensor(0.0), torch.tensor(float(bits))
    edges = torch.tensor([-(2.0 ** (bits - 1)), 2.0 ** (bits - 1), 2.0**bits, 0.0])
    x = (edges[:, None] + torch.arange(-4.0, 4.0, 0.25)).flatten() / 8
    found = []
    for quantiser in (ours, theirs):
        given = x.clone().requires_grad_()
        y = quantiser(*constants, given)
        (y * torch.arange(1.0, len(x) + 1.0)).sum().backward()
        found.append((y.detach(), given.grad))
    assert torch.equal(found[0][0], found[1][0])
    assert torch.equal(found[0][1], found[1][1])
    assert (found[0][1] == 0).any()


def test_where_brevitas_logarithm_is_rounded_ours_is_not() -> None:
    weight = torch.tensor([[2.0**-5 * (1.0 + 2.0**-23), 0.01]])
    theirs = brevitas.nn.QuantLinear(2, 1, bias=False, weight_quant=Int8WeightPerTensorFixedPoint)
    with torch.no_grad():
        theirs.weight.copy_(weight)
    assert theirs.quant_weight().scale == 2.0**-12
    want, exponent = integer.quantise_weight(weight.numpy(), 8)
    got, f = quantise_weight("w", weight, 8)
    assert f == exponent == 11
    np.testing.assert_array_equal(got.numpy() * 2.0**f, want)


def test_zeros_have_the_exponent_of_one() -> None:
    got, f = quantise_weight("w", torch.zeros(2, 3), 4)
    assert f == 3
    assert (got == 0).all()


@pytest.mark.parametrize("value", [torch.nan, torch.inf, 2.0**28, 2.0**-24])
def test_a_weight_without_an_exponent_is_refused_by_name(value: float) -> None:
    with pytest.raises(ModelError, match=r"joint\.output: its largest weight is"):
        quantise_weight("joint.output", torch.tensor([value]), 8)


def test_gradients_go_through_roundings_and_stop_where_a_value_is_clipped() -> None:
    weight = torch.tensor([1.0, 0.992, 0.3, -1.0], requires_grad=True)  # clips to 127 / 128
    quantise_weight("w", weight, 8)[0].sum().backward()
    assert weight.grad.tolist() == [0.0, 1.0, 1.0, 0.0]
    x = torch.tensor([7.97, 7.96, -8.0, -8.04, 0.3], requires_grad=True)
    quantise_signed(x, 4).sum().backward()
    assert x.grad.tolist() == [0.0, 1.0, 1.0, 0.0, 1.0]
    bias = torch.tensor([0.3, -1e6], requires_grad=True)
    quantise_bias(bias, 10).sum().backward()
    assert bias.grad.tolist() == [1.0, 1.0]


def test_inputs_are_rounded_half_to_even_and_saturate() -> None:
    z = np.float32([0.03125, 0.09375, -0.03125, 0.15625, 7.99, 9.0, -8.0, -50.0, 0.04])
    got = quantise_signed(torch.from_numpy(z), 4).numpy() * 16
    np.testing.assert_array_equal(got, fixed.quantise_input(z, 4))
    assert got.tolist() == [0, 2, 0, 2, 127, 127, -128, -128, 1]


def network(weight: float = 1.0, bias: float = 1.0, joint: int = 5) -> Network:
    plain = tiny_network(seed=4)
    arrays = dict(plain.arrays)
    for name in ("encoder", "prediction", "output"):
        arrays[f"joint.{name}.weight"] = np.float32(weight) * arrays[f"joint.{name}.weight"]
        arrays[f"joint.{name}.bias"] = np.float32(bias) * arrays[f"joint.{name}.bias"]
    chosen = Quantisation(joint=joint, weight_bits={"joint.prediction": 4})
    specification = msgspec.structs.replace(plain.specification, quantisation=chosen)
    return dataclasses.replace(plain, specification=specification, arrays=arrays)


@pytest.mark.parametrize("exact", [1 << 24, 0])  # 0: products in float64
@pytest.mark.parametrize(
    "values",
    [{}, {"weight": 300.0}, {"weight": 1 / 64}, {"bias": 50.0, "joint": 9}],
    ids=["usual", "large weights", "small weights", "saturated"],
)
def test_the_joint_is_the_specifications(
    values: dict[str, Any], exact: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = network(**values)
    monkeypatch.setattr(quantisers, "FLOAT32_EXACT", exact)
    module, whole = Transducer.from_network(made), integer.to_integers(made)
    rng = np.random.default_rng(6)
    projected = []
    for layer, linear, size in (
        (module.joint_encoder, whole.joint_encoder, 16),
        (module.joint_prediction, whole.joint_prediction, 8),
    ):
        h = rng.integers(-128, 128, (50, size))
        want = fixed.project(linear, h)
        got = layer(torch.from_numpy(h).float() / 128)
        assert got.dtype == torch.float32
        np.testing.assert_array_equal(got.detach().numpy() * 2.0**linear.exponent, want)
        projected.append((got, want))
    (f, e), (g, of_g) = projected
    a = fixed.joint_hidden(e, of_g)
    chosen = made.specification.quantisation
    assert chosen is not None
    got = hidden(f, g, chosen.joint)
    np.testing.assert_array_equal(got.detach().numpy() * 2.0**chosen.joint, a)
    logits = module.join(f, g).detach().numpy()
    assert logits.dtype == (np.float32 if exact else np.float64)
    np.testing.assert_array_equal(
        np.ldexp(logits, whole.joint_output.exponent), fixed.logits(whole.joint_output, a)
    )


def test_the_hidden_vector_passes_gradients_between_its_bounds() -> None:
    f = torch.tensor([-1.0, 0.25, 7.9, 8.1], requires_grad=True)
    hidden(f, torch.zeros(4), 5).sum().backward()
    assert f.grad.tolist() == [0.0, 1.0, 1.0, 0.0]


def test_a_linear_layer_that_may_overflow_is_refused() -> None:
    made = network()
    module = Transducer.from_network(made)
    with torch.no_grad():
        module.joint_encoder.bias[2] = 1e6
    with pytest.raises(ModelError, match=r"joint\.encoder: row 2 of the accumulator"):
        module.joint_encoder(torch.zeros(1, 16))
