"""The operators of the integer arithmetic, against exact fractions and by hand."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream.integer import fixed
from stream.integer.network import to_integers
from stream.model.quantisation import Quantisation
from tests.tiny import tiny_network

INT32 = st.integers(-(2**31) + 2**26, 2**31 - 2**26)


@given(a=INT32, s=st.integers(0, 25))
def test_a_quotient_is_rounded_half_to_even(a: int, s: int) -> None:
    want = round(Fraction(a, 2**s))  # Python rounds a fraction half to even
    assert fixed.rhe(np.array([a]), s) == want
    assert fixed.rhe(np.array([a], np.int32), s) == want


def test_ties_go_to_the_even_quotient_on_both_sides() -> None:
    ties = np.array([-5, -3, -1, 1, 3, 5]) * 2
    np.testing.assert_array_equal(fixed.rhe(ties, 2), [-2, -2, 0, 0, 2, 2])


def test_saturation_clamps_to_the_signed_range() -> None:
    for bits in (8, 16):
        low, high = -(2 ** (bits - 1)), 2 ** (bits - 1) - 1
        got = fixed.saturate(np.array([low - 1, low, 0, high, high + 1]), bits)
        np.testing.assert_array_equal(got, [low, low, 0, high, high])


def test_inputs_round_half_to_even_and_saturate() -> None:
    z = np.array([0.5, 1.5, -0.5, -2.5, 127.0, 127.5, 300.0, -128.0, -129.0], np.float32) / 16
    want = [0, 2, 0, -2, 127, 127, 127, -128, -128]
    np.testing.assert_array_equal(fixed.quantise_input(z, 4), want)


def test_the_gates_of_every_input_are_those_of_the_float_functions() -> None:
    z = np.arange(-32768, 32768)
    sigmoid = np.clip(z / 4096 / 8 + 0.5, 0.0, 1.0)
    np.testing.assert_array_equal(fixed.hard_sigmoid(z) / 32768, sigmoid)
    np.testing.assert_array_equal(fixed.hard_tanh(z) / 4096, np.clip(z / 4096, -1.0, 1.0))


def test_a_forget_gate_of_one_holds_the_cell() -> None:
    c = np.array([[-32768, -4096, -1, 1, 4096, 32767]])
    one, zero = np.full_like(c, 32767), np.full_like(c, -32768)
    _, after = fixed.lstm_cell(np.concatenate([zero, one, zero, zero], axis=1), c, 0)
    np.testing.assert_array_equal(after, c)


def test_h_reaches_both_ends_of_int8() -> None:
    z = np.array([[0, 0, 32767, 32767, 0, 0, 32767, 32767]])
    values = fixed.cell_values(z, np.array([[4096, -4096]]))
    np.testing.assert_array_equal(values.c, [[4096, -4096]])
    np.testing.assert_array_equal(values.h, [[127, -128]])


def test_the_cell_saturates_at_both_ends() -> None:
    one, both = [32767, 32767], [32767, -32768]
    values = fixed.cell_values(np.array([one + one + both + one]), np.array([[32767, -32768]]))
    np.testing.assert_array_equal(values.p, [[32767 * 32768 + 4096 * 32768, -36864 * 32768]])
    np.testing.assert_array_equal(values.c, [[32767, -32768]])


@given(seed=st.integers(0, 2**32 - 1), shift=st.integers(0, 16))
def test_int32_arrays_give_what_int64_gives(seed: int, shift: int) -> None:
    rng = np.random.default_rng(seed)
    largest = 2**31 - 2 ** (shift + 14) - 2**shift - 1  # rule 9
    acc = rng.integers(-largest, largest, (5, 32), endpoint=True)
    acc[0], acc[1] = largest, -largest
    c = rng.integers(-32768, 32768, (5, 8))
    wide = fixed.lstm_cell(acc, c, shift)
    narrow = fixed.lstm_cell(acc.astype(np.int32), c.astype(np.int16), shift)
    for a, b in zip(wide, narrow, strict=True):
        np.testing.assert_array_equal(a, b)


def test_the_hidden_vector_rounds_after_the_relu_and_saturates() -> None:
    e = np.array([[-30000, 31, 32, 33, 96, 16320, 16351, 16352, 32767]], np.int16)
    g = np.array([[-30000, 0, 0, 0, 0, 0, 0, 0, 32767]], np.int16)
    np.testing.assert_array_equal(fixed.joint_hidden(e, g), [[0, 0, 0, 1, 2, 255, 255, 255, 255]])


def test_a_missing_half_of_a_pair_is_zero() -> None:
    older, newer = np.array([[1, 2], [3, 4]]), np.array([[5, 6], [7, 8]])
    got = fixed.pair(older, newer, np.array([True, False]))
    np.testing.assert_array_equal(got, [[1, 2, 5, 6], [3, 4, 0, 0]])


def test_the_lowest_of_equal_logits_wins() -> None:
    np.testing.assert_array_equal(fixed.best_class(np.array([[3, 7, 7], [5, 5, 5]])), [1, 0])


def test_a_layer_is_near_the_float_layer() -> None:
    from stream.encoders.lstm_layer import lstm_stack

    network = tiny_network(3, quantisation=Quantisation(joint=6))
    layer = to_integers(network).post[0]
    arrays = next(network.layers("encoder.post"))
    stage = lstm_stack([arrays], "hard", "float32")
    rng = np.random.default_rng(0)
    state = stage.initial_state(4)
    h, c = np.zeros((2, 4, 16), np.int64)
    error = []
    for _ in range(30):
        x = rng.integers(-128, 128, (4, 32))
        want, state = stage.step((x[:, None] / 128).astype(np.float32), state)
        h, c = fixed.lstm_step(layer, x, h, c)
        error.append(h / 128 - want[:, 0])
    assert np.sqrt(np.mean(np.square(error))) < 0.02
    assert np.abs(c).max() > 1000


@pytest.mark.parametrize("name", ["encoder", "prediction"])
def test_projections_share_one_exponent_six_above_the_hidden_vectors(name: str) -> None:
    network = tiny_network(3, quantisation=Quantisation(joint=5))
    linear = getattr(to_integers(network), f"joint_{name}")
    assert linear.exponent == 11
    rng = np.random.default_rng(1)
    h = rng.integers(-128, 128, (6, linear.weight.shape[1]))
    weight, bias = (network.arrays[f"joint.{name}.{kind}"] for kind in ("weight", "bias"))
    got = fixed.project(linear, h) / 2**11
    np.testing.assert_allclose(got, h / 128 @ weight.T + bias, atol=0.05)
