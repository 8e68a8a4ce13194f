"""Gain control: quiet channels are lifted, loud ones and rooms are not, tones are taken out."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from stream.front_end.gain_control import GainControl
from stream.front_end.log_mel import FrontEnd, streamed_log_mel
from stream.integer.front_end import FixedFrontEnd
from stream.integer.gain_control import FixedGain

FLOOR = 2.0**-23
PLAIN, CONTROLLED = (FrontEnd(400, FLOOR, False, gain_control=c) for c in (None, GainControl()))
RNG = np.random.default_rng(0)
Samples = NDArray[np.float32]
RATE = 16_000


def room(seconds: float, decibels: float) -> Samples:
    noise = RNG.standard_normal((1, round(RATE * seconds)))
    return (10.0 ** (decibels / 20.0) * noise).astype(np.float32)


def speech(seconds: float = 3.0) -> Samples:
    """Bursts of noise of -30 dBFS, 0.3 s each, in a room of -75 dBFS, from 0.3 s on."""
    x = room(seconds, -75.0)
    bursts = np.arange(x.shape[1]) // round(0.3 * RATE) % 2 == 1
    return x + room(seconds, -30.0) * bursts


def tone(seconds: float, *hertz: float) -> Samples:
    t = np.arange(round(RATE * seconds)) / RATE
    return np.sum([0.2 * np.sin(2.0 * np.pi * f * t) for f in hertz], axis=0, dtype=np.float32)[
        None
    ]


def test_speech_as_loud_as_trainings_keeps_every_bit() -> None:
    x = speech()
    got, want = streamed_log_mel(x, CONTROLLED), streamed_log_mel(x, PLAIN)
    np.testing.assert_array_equal(got, want)


@pytest.mark.parametrize("decibels", [-20.0, -30.0, -40.0])
def test_a_quiet_channel_is_lifted_from_its_first_word_on(decibels: float) -> None:
    x = speech()
    quiet = np.float32(10.0 ** (decibels / 20.0)) * x
    plain, lifted = streamed_log_mel(quiet, PLAIN), streamed_log_mel(quiet, CONTROLLED)
    want = streamed_log_mel(x, PLAIN)
    words = want.mean(axis=2) > -9.0
    assert np.abs(lifted - want)[words].mean() < 1.6 < np.abs(plain - want)[words].mean()


def test_a_room_is_not_lifted_above_its_bound() -> None:
    for decibels in (-100.0, -80.0, -60.0):
        x = room(20.0, decibels)
        loudest = streamed_log_mel(x, CONTROLLED).max(axis=2)[0, 50:]
        plain = streamed_log_mel(x, PLAIN).max(axis=2)[0, 50:]
        bound = np.maximum(-67.0 / 10.0 * np.log(10.0), plain.min())
        assert np.median(loudest) < bound + 2.0  # bins of noise stand above their own minimum


def test_a_loud_frame_takes_the_gain_away_at_once() -> None:
    x = np.concatenate([room(2.0, -100.0), room(0.5, -20.0)], axis=1)
    got, want = streamed_log_mel(x, CONTROLLED), streamed_log_mel(x, PLAIN)
    np.testing.assert_array_equal(got[:, 201:], want[:, 201:])


@pytest.mark.parametrize("hertz", [(770.0, 1336.0), (440.0,), (2100.0,), (480.0, 620.0)])
def test_tones_become_silence(hertz: tuple[float, ...]) -> None:
    frames = streamed_log_mel(tone(0.5, *hertz), CONTROLLED)
    np.testing.assert_array_equal(frames, np.full_like(frames, np.float32(np.log(FLOOR))))


def test_a_tone_hardly_changes_the_gain_of_what_follows() -> None:
    quiet = np.float32(0.01) * speech()
    after = np.concatenate([quiet, tone(0.32, 1000.0), quiet], axis=1)
    got = streamed_log_mel(after, CONTROLLED)[:, -250:]
    silence = np.concatenate([quiet, np.zeros((1, 5120), np.float32), quiet], axis=1)
    want = streamed_log_mel(silence, CONTROLLED)[:, -250:]
    np.testing.assert_allclose(got, want, atol=2.5)  # its edges are sounds of some frames


def test_digital_silence_is_no_background() -> None:
    x = np.concatenate([np.zeros((1, 8160), np.float32), speech()], axis=1)
    got, want = (streamed_log_mel(x, front_end) for front_end in (CONTROLLED, PLAIN))
    np.testing.assert_array_equal(got[:, :48], want[:, :48])
    # The frames that the room begins in are quieter than it; 48 dB, 11 nats, could be lifted.
    np.testing.assert_allclose(got, want, atol=3.0)


def test_integers_lift_as_floats_do() -> None:
    fixed = FixedFrontEnd(400, FLOOR, False, gain_control=GainControl())
    for x in (speech(), np.float32(0.02) * speech(), tone(0.5, 770.0, 1336.0)):
        x = np.rint(x * 32768.0).astype(np.float32) / np.float32(32768.0)
        got = streamed_log_mel(x, fixed) * np.log(2.0) / 1024.0
        np.testing.assert_allclose(got, streamed_log_mel(x, CONTROLLED), atol=0.1)


def test_a_floor_below_the_integers_is_refused() -> None:
    with pytest.raises(ValueError, match="reach below 2\\^-72"):
        FixedGain(GainControl(gain=48.0), 1e-20)


def test_bounds_that_contradict_each_other_are_named() -> None:
    with pytest.raises(ValueError, match="background is -10.0 and speech -12.0"):
        GainControl(background=-10.0)
    with pytest.raises(ValueError, match="gain_control.tone is 0.0, wants 0 < tone <= 100 dB"):
        GainControl(tone=0.0)
