"""Block floating point on values whose rounding can be worked out by hand."""

from __future__ import annotations

import numpy as np

from stream.encoders.bfp16 import bf16, bfp


def test_bf16_rounds_to_nearest_with_ties_away_from_zero() -> None:
    step = 2.0**-7  # of bf16 between 1 and 2
    x = np.array([1.0 + step / 2, -1.0 - step / 2, 1.0 + step / 4, 1.0 + 0.75 * step], np.float32)
    want = np.array([1.0 + step, -1.0 - step, 1.0, 1.0 + step], np.float32)
    np.testing.assert_array_equal(bf16(x), want)


def test_bf16_leaves_what_is_not_finite() -> None:
    x = np.array([np.inf, -np.inf, np.nan, 0.0], np.float32)
    np.testing.assert_array_equal(bf16(x), x)


def test_a_block_shares_the_exponent_of_its_largest_value() -> None:
    x = np.array([[1.0, 1 / 64, 1 / 128, -1 / 128, 3 / 256, 0, 0, 0]], np.float32)
    # The unit is 1/64; a half goes towards +infinity.
    want = np.array([[1.0, 1 / 64, 1 / 64, 0.0, 1 / 64, 0, 0, 0]], np.float32)
    np.testing.assert_array_equal(bfp(x), want)


def test_a_mantissa_saturates_at_127_units() -> None:
    x = np.array([[1.9921875, -1.9921875] + [0.0] * 6], np.float32)  # 127.5 units of 1/64
    np.testing.assert_array_equal(bfp(x)[0, :2], [127 / 64, -127 / 64])


def test_blocks_are_independent_and_a_short_last_one_stands_alone() -> None:
    x = np.array([[64.0] + [0.0] * 7 + [1 / 64, 1 / 128]], np.float32)
    np.testing.assert_array_equal(bfp(x), x)


def test_zeros_and_the_smallest_numbers_give_zeros_or_themselves_but_never_nan() -> None:
    tiny = np.full((1, 8), np.float32(1e-45))
    assert np.isfinite(bfp(tiny)).all()
    np.testing.assert_array_equal(bfp(np.zeros((2, 8), np.float32)), np.zeros((2, 8)))
