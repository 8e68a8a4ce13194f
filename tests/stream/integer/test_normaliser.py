"""The normaliser in fixed point: against float64, exact integers at extremes, and what it refuses."""

from __future__ import annotations

import hashlib

import numpy as np
import pytest

from stream.front_end.normaliser import Normaliser
from stream.integer.normaliser import (
    FixedNormaliser,
    alpha_weight,
    inverse_root,
    inverse_root_table,
    normalise,
    update,
)
from stream.stage import whole

MEAN = np.linspace(-12.0, -4.0, 80, dtype=np.float32)
VARIANCE = np.linspace(1.0, 12.0, 80, dtype=np.float32)
FLOOR, LOUDEST = -72 * 1024, 16 * 1024 - 1  # of frames, Q.10


def frames(count: int, rows: int = 1) -> np.ndarray:
    values = np.random.default_rng(0).normal(-11.5, 4.5, (rows, count, 80))
    return np.rint(values * 1024).astype(np.int32)


def test_the_table_is_that_of_every_machine() -> None:
    table = inverse_root_table()
    digest = hashlib.sha256(np.ascontiguousarray(table, "<i8").tobytes()).hexdigest()[:16]
    assert digest == "45e51b5474fe1dac"
    assert (table[0], table[-1]) == (2**17, 2**16)


@pytest.mark.parametrize("alpha", [0.0, 2.0**-10, 0.05, 0.5, 0.9])
def test_values_are_those_of_float64_rounded_but_for_a_few_by_one(alpha: float) -> None:
    x = frames(1500)
    y = whole(FixedNormaliser(MEAN, VARIANCE, alpha), x)
    state = MEAN[None].astype(float), VARIANCE[None].astype(float)
    z, _ = Normaliser(MEAN, VARIANCE, alpha).step(x * np.log(2.0) / 1024, state)
    difference = np.abs(y * 16 - np.clip(np.rint(z * 16), -128, 127))
    assert difference.max() <= 1
    assert (difference > 0).mean() < 2e-3


def test_alpha_of_a_thousandth_is_a_shift_by_ten() -> None:
    assert alpha_weight(0.001) == 1 << 10
    assert alpha_weight(2.0**-10) == 1 << 10
    assert alpha_weight(0.0) == 0
    assert alpha_weight(0.5) == 1 << 19
    assert alpha_weight(0.05) == round(0.05 * 2**20)
    assert alpha_weight(2.0**-20) == 1
    assert alpha_weight(1 - 2.0**-30) == 2**20 - 1


def test_an_alpha_below_the_format_is_refused() -> None:
    with pytest.raises(ValueError, match="alpha is 1e-07, wants 0 or at least 2\\^-20"):
        FixedNormaliser(MEAN, VARIANCE, 1e-7)


def test_a_shift_computes_what_the_multiplier_does() -> None:
    rng = np.random.default_rng(0)
    frame = rng.integers(FLOOR, LOUDEST + 1, 5000)
    mean = (frame << 14) - rng.integers(-(2**26), 2**26, 5000)
    variance = rng.integers(1, 2**31, 5000)
    after_mean, after_variance = update(frame, mean, variance, 1 << 10)

    def shifted(a: int, s: int) -> int:
        whole_part, rest = divmod(a, 1 << s)
        return whole_part + (2 * rest + (whole_part & 1) > 1 << s)

    for row in range(0, 5000, 7):
        difference = (int(frame[row]) << 14) - int(mean[row])
        d = shifted(difference, 10)
        grown = int(variance[row]) + shifted(d * d, 18)
        assert after_mean[row] == int(mean[row]) + shifted(difference, 10)
        assert after_variance[row] == grown - shifted(grown, 10)


@pytest.mark.parametrize("alpha", [2.0**-10, 0.05, 0.5, 0.999])
def test_extremes_stay_within_the_widths(alpha: float) -> None:
    # The largest variance of all: half the time at the floor, half at the loudest, from the largest
    # that a stream may start with. Python's integers tell whether 64 bits have overflowed.
    normaliser = FixedNormaliser(
        np.float32([-72 * np.log(2) + 1e-4]), np.float32([2048 * np.log(2) ** 2 - 1e-3]), alpha
    )
    (mean,), (variance,) = (leaf[0].tolist() for leaf in normaliser.initial_state(1))
    weight = normaliser.weight
    rng = np.random.default_rng(0)
    for loud in rng.integers(0, 2, 1500).tolist():
        frame = LOUDEST if loud else FLOOR
        got = update(np.array([frame]), np.array([mean]), np.array([variance]), weight)
        wanted = update(*(np.array([v], object) for v in (frame, mean, variance)), weight)  # type: ignore[arg-type]
        mean, variance = int(got[0][0]), int(got[1][0])
        assert (mean, variance) == (wanted[0][0], wanted[1][0])
        assert abs(mean) < 2**31
        assert 1 <= variance < 2**32


def test_the_inverse_root_is_within_a_ten_thousandth() -> None:
    rng = np.random.default_rng(0)
    variance = np.concatenate([np.arange(1, 5000), 2 ** rng.uniform(1, 32, 20_000)]).astype(int)
    variance = np.append(variance, 2**32 - 1)
    s, k = inverse_root(variance)
    assert (s.min(), s.max(), k.min(), k.max()) == (2**16, 2**17, 0, 15)
    error = s * 2.0 ** (k - 22) * np.sqrt(variance * 2.0**-20) - 1
    assert np.abs(error).max() < 1e-4


@pytest.mark.parametrize("exponent", [0, 4, 7])
def test_outputs_saturate_at_both_ends_of_int8(exponent: int) -> None:
    frame = np.array([LOUDEST, FLOOR, 0])
    q = normalise(frame, np.array([FLOOR << 14, LOUDEST << 14, 0]), np.array([1, 1, 1]), exponent)
    assert q.tolist() == [127, -128, 0]


@pytest.mark.parametrize("exponent", [0, 4, 7])
def test_the_stage_hands_on_the_integers_times_a_power_of_two(exponent: int) -> None:
    stage = FixedNormaliser(MEAN, VARIANCE, 0.05, exponent)
    q, _ = stage.quantised(frames(30).astype(np.int64), stage.initial_state(1))
    y = whole(stage, frames(30))
    assert (q.dtype, y.dtype) == (np.int8, np.float32)
    np.testing.assert_array_equal(y * 2.0**exponent, q)
    assert len(np.unique(q)) > 5


def test_long_digital_silence_leaves_a_variance() -> None:
    normaliser = FixedNormaliser(MEAN, VARIANCE, 0.05)
    state = normaliser.initial_state(1)
    for _ in range(4):
        y, state = normaliser.step(np.full((1, 600, 80), -23 << 10), state)
    assert (state[1] >= 1).all()
    assert np.abs(state[0] / 2**24 + 23).max() < 1e-4
    assert np.abs(y).max() <= 0.5


def test_alpha_zero_leaves_the_statistics_untouched() -> None:
    normaliser = FixedNormaliser(MEAN, VARIANCE, 0.0)
    before = normaliser.initial_state(2)
    _, after = normaliser.step(frames(9, rows=2), before)
    for new, old in zip(after, before, strict=True):
        np.testing.assert_array_equal(new, old)


@pytest.mark.parametrize("dtype", [np.int32, np.int64, np.float32])
def test_frames_may_come_in_any_dtype_that_holds_them(dtype: type) -> None:
    normaliser = FixedNormaliser(MEAN, VARIANCE, 0.001)
    want = whole(normaliser, frames(20))
    np.testing.assert_array_equal(
        normaliser.step(frames(20).astype(dtype), normaliser.initial_state(1))[0], want
    )


def test_chunks_rows_and_places_change_no_bit() -> None:
    x, normaliser = frames(40, rows=4), FixedNormaliser(MEAN, VARIANCE, 0.05)
    want = whole(normaliser, x)
    state, pieces = normaliser.initial_state(4), []
    for piece in np.split(x, [0, 1, 7, 7, 30], axis=1):
        y, state = normaliser.step(piece, state)
        pieces.append(y)
    np.testing.assert_array_equal(np.concatenate(pieces, axis=1), want)
    order = [2, 0, 3, 1]
    np.testing.assert_array_equal(whole(normaliser, x[order]), want[order])
    np.testing.assert_array_equal(whole(normaliser, x[1:2]), want[1:2])


@pytest.mark.parametrize(("mean", "variance"), [(-51.0, 4.0), (12.0, 4.0), (-9.0, 1000.0)])
def test_statistics_outside_the_format_are_named_by_their_bin(mean: float, variance: float) -> None:
    means, variances = MEAN.copy(), VARIANCE.copy()
    means[7], variances[7] = mean, variance
    with pytest.raises(ValueError, match=f"bin 7 has mean {mean} and variance {variance}"):
        FixedNormaliser(means, variances, 0.001)


def test_an_exponent_that_int8_does_not_have_is_refused() -> None:
    with pytest.raises(ValueError, match="the exponent is 8, wants 0 to 7"):
        FixedNormaliser(MEAN, VARIANCE, 0.001, exponent=8)
