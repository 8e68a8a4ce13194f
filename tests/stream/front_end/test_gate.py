"""The gate of the running statistics: speech and what is near it counts, a room does not."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from stream.front_end.gate import Gate
from stream.front_end.normaliser import Normaliser
from stream.integer.normaliser import FixedNormaliser

MEAN, VARIANCE = np.full(80, -8.0, np.float32), np.full(80, 9.0, np.float32)
RNG = np.random.default_rng(0)
Frames = NDArray[np.float32]


def frames(seconds: float, level: float) -> Frames:
    """Log-mel frames of steady noise of a mean level, (1, n, 80)."""
    return RNG.normal(level, 1.0, (1, round(100 * seconds), 80)).astype(np.float32)


def words(seconds: float, level: float) -> Frames:
    """Frames of words of 0.3 s, 12 nats above a room, with gaps of 0.3 s."""
    x = frames(seconds, level)
    x[:, np.arange(x.shape[1]) // 30 % 2 == 1] += 12.0
    return x


def mean_after(x: Frames, gate: Gate | None, alpha: float = 0.01) -> float:
    normaliser = Normaliser(MEAN, VARIANCE, alpha, gate)
    _, (mean, *_) = normaliser.step(x, normaliser.initial_state(1))
    return float(mean.mean())


def test_a_minute_of_a_room_teaches_no_more_than_its_first_second() -> None:
    gate = Gate(hold=1.0)
    one, minute = frames(1.0, -14.0), frames(60.0, -14.0)
    assert mean_after(minute, gate) == pytest.approx(mean_after(one, None), abs=0.05)
    assert mean_after(minute, None) == pytest.approx(-14.0, abs=0.1)


def test_words_and_the_pauses_between_them_all_count() -> None:
    x = words(20.0, -14.0)
    gated, plain = (
        Normaliser(MEAN, VARIANCE, 0.01, gate).step(
            x, Normaliser(MEAN, VARIANCE, 0.01, gate).initial_state(1)
        )
        for gate in (Gate(), None)
    )
    np.testing.assert_array_equal(gated[0], plain[0])
    np.testing.assert_array_equal(gated[1][1], plain[1][1])


def test_statistics_that_were_led_away_come_back_with_speech() -> None:
    x = words(60.0, -14.0)
    normaliser = Normaliser(MEAN, VARIANCE, 0.01, Gate())
    astray = (MEAN[None] - 20.0, *normaliser.initial_state(1)[1:])
    _, (mean, *_) = normaliser.step(x, astray)
    np.testing.assert_allclose(mean.mean(), x.mean(), atol=1.5)


def test_a_room_that_grows_louder_is_taken_for_speech_for_some_seconds_only() -> None:
    x = np.concatenate([frames(3.0, -14.0), frames(60.0, -9.0)], axis=1)  # 22 dB
    normaliser = Normaliser(MEAN, VARIANCE, 0.01, Gate(rise=4.0, margin=9.0, hold=1.0))
    counted = normaliser.step(x, normaliser.initial_state(1))[1][2][2]
    assert counted[0] == 0
    early, late = (
        normaliser.step(x[:, :n], normaliser.initial_state(1))[1][0] for n in (800, 6300)
    )
    np.testing.assert_array_equal(early, late)


def test_integers_open_the_gate_where_floats_do() -> None:
    x = np.concatenate([words(4.0, -14.0), frames(8.0, -14.0), words(4.0, -13.0)], axis=1)
    units = np.rint(x / np.log(2.0) * 1024.0)
    normaliser = Normaliser(MEAN, VARIANCE, 2.0**-10, Gate())
    fixed = FixedNormaliser(MEAN, VARIANCE, 2.0**-10, gate=Gate())
    z, after = normaliser.step(x, normaliser.initial_state(1))
    q, integers = fixed.step(units, fixed.initial_state(1))
    assert np.abs(q - np.clip(z, -8.0, 127 / 16)).max() <= 1 / 16
    np.testing.assert_array_equal(integers[2][2], after[2][2])
    np.testing.assert_allclose(np.ldexp(integers[0], -24) * np.log(2.0), after[0], atol=1e-2)


@pytest.mark.parametrize("name", ["margin", "rise", "hold"])
def test_a_value_that_is_none_is_named(name: str) -> None:
    with pytest.raises(ValueError, match=f"gate.{name} is 0.0, wants 0 < {name}"):
        Gate(**{name: 0.0})
