"""The normaliser against its recursion in float64, and against what it must refuse."""

from __future__ import annotations

import numpy as np
import pytest

from stream.front_end.normaliser import Normaliser

MEAN = np.linspace(-12.0, -4.0, 80, dtype=np.float32)
VARIANCE = np.linspace(1.0, 9.0, 80, dtype=np.float32)


@pytest.mark.parametrize("alpha", [0.0, 0.001, 0.5])
def test_statistics_are_updated_before_a_frame_is_normalised(alpha: float) -> None:
    frames = np.random.default_rng(0).normal(-8.0, 3.0, (1, 50, 80)).astype(np.float32)
    mean, variance = MEAN.astype(np.float64), VARIANCE.astype(np.float64)
    want = []
    for frame in frames[0].astype(np.float64):
        difference = frame - mean
        mean = mean + alpha * difference
        variance = (1.0 - alpha) * (variance + alpha * difference**2)
        want.append((frame - mean) / np.sqrt(variance))
    normaliser = Normaliser(MEAN, VARIANCE, alpha)
    y, after = normaliser.step(frames, normaliser.initial_state(1))
    np.testing.assert_allclose(y[0], np.array(want), atol=1e-4)
    np.testing.assert_allclose(after[0][0], mean, rtol=1e-5)
    np.testing.assert_allclose(after[1][0], variance, rtol=1e-5)


def test_alpha_zero_leaves_the_statistics_untouched() -> None:
    normaliser = Normaliser(MEAN, VARIANCE, 0.0)
    _, (mean, variance) = normaliser.step(
        np.ones((1, 9, 80), np.float32), normaliser.initial_state(1)
    )
    np.testing.assert_array_equal(mean[0], MEAN)
    np.testing.assert_array_equal(variance[0], VARIANCE)


def test_an_hour_of_constant_input_stays_finite() -> None:
    normaliser = Normaliser(MEAN, VARIANCE, 0.05)
    state = normaliser.initial_state(1)
    silence = np.full((1, 6000, 80), -15.94, np.float32)
    for _ in range(3):
        y, state = normaliser.step(silence, state)
    assert np.isfinite(y).all() and (state[1] > 0.0).all()


def test_a_variance_that_is_not_positive_is_named_by_its_bin() -> None:
    broken = VARIANCE.copy()
    broken[79] = 0.0
    with pytest.raises(ValueError, match="bin 79 has mean .* and variance 0.0"):
        Normaliser(MEAN, broken, 0.001)


def test_an_alpha_of_one_is_refused() -> None:
    with pytest.raises(ValueError, match="alpha is 1.0"):
        Normaliser(MEAN, VARIANCE, 1.0)
