"""The integers of a network: exponents, bounds, and what is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from stream.integer.network import ACCUMULATOR, IntegerLayer, quantise_weight, to_integers
from stream.model.network import Network
from stream.model.quantisation import Quantisation
from stream.model.specification import ModelError
from tests.tiny import tiny_network


def network(scale: dict[str, float] | None = None, **quantisation: Any) -> Network:
    """Return a tiny network for integers, some of its arrays scaled."""
    made = tiny_network(3, quantisation=Quantisation(**{"joint": 5, **quantisation}))
    arrays = {name: (scale or {}).get(name, 1.0) * array for name, array in made.arrays.items()}
    arrays = {name: array.astype(np.float32) for name, array in arrays.items()}
    return Network(made.specification, arrays, made.tokenizer)


@pytest.mark.parametrize(
    ("largest", "exponent", "integer"),
    [(1.0, 7, 127), (0.999, 7, 127), (1.001, 6, 64), (0.5, 8, 127), (2.0**-23, 30, 127)],
)
def test_the_exponent_is_the_ceiling_of_the_logarithm(
    largest: float, exponent: int, integer: int
) -> None:
    q, f = quantise_weight(np.array([largest, -largest, 0.0], np.float32))
    assert (q.tolist(), f) == ([integer, -integer, 0], exponent)


def test_an_exponent_out_of_range_is_refused() -> None:
    for largest, exponent in ((2.0**-24, 31), (2.0**28, -21)):
        with pytest.raises(ValueError, match=f"its exponent is {exponent}, wants -20 to 30"):
            quantise_weight(np.array([largest]))


def test_weights_round_half_to_even_and_are_symmetric() -> None:
    q, f = quantise_weight(np.array([-1.0, 0.5 / 128, 1.5 / 128, -2.5 / 128, 126.5 / 128]))
    assert (q.tolist(), f) == ([-127, 0, 2, -2, 126], 7)
    q, f = quantise_weight(np.array([-1.0, 0.9, 0.0625, 0.1876]), bits=4)
    assert (q.tolist(), f) == ([-7, 7, 0, 2], 3)


def test_a_tensor_of_zeros_has_the_exponent_of_one() -> None:
    assert quantise_weight(np.zeros((2, 3)))[1] == 7
    assert quantise_weight(np.zeros((2, 3)), bits=4)[1] == 3


def test_the_integers_are_the_weights_to_half_a_step() -> None:
    given = network()
    layer = to_integers(given).post[0]
    for name in ("weight_ih", "weight_hh"):
        weight = given.arrays[f"encoder.post.0.{name}"]
        q, f = quantise_weight(weight)
        np.testing.assert_array_equal(getattr(layer, name), q)
        inside = np.abs(q) < 127
        assert np.abs(q / 2.0**f - weight)[inside].max() <= 2.0**-f / 2
        assert np.abs(q).max() > 63


def exponents(layer: IntegerLayer, given: Network, name: str, fx: int) -> tuple[int, int]:
    f_ih, f_hh = (
        quantise_weight(given.arrays[f"{name}.{kind}"])[1] for kind in ("weight_ih", "weight_hh")
    )
    return f_ih + fx + layer.shift_x, f_hh + 7 + layer.shift_h


@pytest.mark.parametrize(
    "scale",
    [
        {},
        {"encoder.pre.0.weight_ih": 30.0},
        {"encoder.pre.0.weight_hh": 30.0},
        {"encoder.pre.0.weight_ih": 100.0, "encoder.pre.0.weight_hh": 100.0},
    ],
)
def test_both_products_meet_in_the_accumulators_exponent(scale: dict[str, float]) -> None:
    given = network(scale)
    layer = to_integers(given).pre[0]
    f, other = exponents(layer, given, "encoder.pre.0", 4)
    assert f == other == 12 + layer.shift
    assert min(layer.shift_x, layer.shift_h) == 0 or layer.shift == 0
    bias = (
        given.arrays["encoder.pre.0.bias_ih"].astype(float) + given.arrays["encoder.pre.0.bias_hh"]
    )
    np.testing.assert_array_equal(layer.bias, np.rint(bias * 2.0**f))


def test_the_prediction_networks_input_has_the_embeddings_exponent() -> None:
    given = network({"prediction.embedding": 9.0})
    made = to_integers(given)
    f, other = exponents(made.prediction[0], given, "prediction.lstm.0", made.embedding_exponent)
    assert f == other
    assert made.embedding.shape == (21, 8)
    assert not made.embedding[20].any()
    assert made.embedding[:20].any(axis=1).all()


def test_a_bound_is_reached_by_the_worst_input() -> None:
    layer = to_integers(network({"encoder.pre.0.weight_hh": 9.0})).pre[0]
    for row in range(3):
        x, h = (np.where(w[row] < 0, -128, 128) for w in (layer.weight_ih, layer.weight_hh))
        reach = (int(layer.weight_ih[row] @ x) << layer.shift_x) + (
            int(layer.weight_hh[row] @ h) << layer.shift_h
        )
        assert reach + abs(int(layer.bias[row])) == layer.bound[row]


def test_four_bits_reach_the_layer_that_is_named_alone() -> None:
    made = to_integers(network(weight_bits={"encoder.post.0": 4, "joint.output": 4}))
    assert np.abs(made.post[0].weight_ih).max() <= 7
    assert np.abs(made.post[0].weight_hh).max() <= 7
    assert np.abs(made.joint_output.weight).max() <= 7
    assert np.abs(made.pre[0].weight_ih).max() > 7
    assert np.abs(made.joint_encoder.weight).max() > 7


def test_an_accumulator_that_may_overflow_is_named_with_its_row() -> None:
    given = network()
    bias = given.arrays["encoder.post.0.bias_hh"].copy()
    bias[37] = 3e5
    broken = Network(
        given.specification,
        {**given.arrays, "encoder.post.0.bias_hh": bias},
        given.tokenizer,
        path=Path("somewhere"),
    )
    with pytest.raises(ModelError, match=r"somewhere: encoder.post.0: row 37 of the accumulator"):
        to_integers(broken)


def test_the_limit_of_an_accumulator_is_exact() -> None:
    """The largest bias of a logit that is still proved, and the next one."""
    given = network({"joint.output.weight": 0.0})
    f = 7 + 5
    room = ACCUMULATOR - (1 << 14) - 1
    for reach, accepted in ((room - 2**8, True), (room + 2**8, False)):
        bias = np.zeros(21, np.float32)
        bias[4] = reach / 2**f
        changed = Network(
            given.specification, {**given.arrays, "joint.output.bias": bias}, given.tokenizer
        )
        if accepted:
            assert to_integers(changed).joint_output.bias[4] <= room
        else:
            with pytest.raises(ModelError, match="joint.output: row 4"):
                to_integers(changed)


@pytest.mark.parametrize(
    ("scale", "message"),
    [
        ({"encoder.pre.0.weight_ih": 1e9}, r"encoder.pre.0.weight_ih: its largest weight is .*e\+"),
        ({"joint.output.weight": 1e-9}, "joint.output.weight: .* wants -20 to 30"),
        ({"prediction.embedding": 1e-9}, "prediction.embedding: its largest weight"),
        ({"encoder.pre.0.weight_hh": 2.0**-20}, "encoder.pre.0: row .* at the layer's exponent 34"),
    ],
)
def test_weights_that_no_exponent_fits_are_named(scale: dict[str, float], message: str) -> None:
    with pytest.raises(ModelError, match=message):
        to_integers(network(scale))


def test_a_network_without_a_quantisation_is_told_how_to_get_one() -> None:
    with pytest.raises(ModelError, match="has no quantisation.*quantize=int8.*--integers"):
        to_integers(tiny_network())


def test_a_weight_that_is_not_a_number_never_gets_here() -> None:
    given = network()
    weight = given.arrays["encoder.pre.0.weight_ih"].copy()
    weight[3, 5] = np.nan
    with pytest.raises(ModelError, match=r"encoder.pre.0.weight_ih is not finite at \[3, 5\]"):
        Network(
            given.specification,
            {**given.arrays, "encoder.pre.0.weight_ih": weight},
            given.tokenizer,
        )
