"""Noise mixed at a ratio: the ratio, the power kept, silence on either side, short noises."""

from __future__ import annotations

import numpy as np
import pytest

from train.data.mixing import blend, lengthened


def tone(samples: int, hertz: float, level: float = 0.1) -> np.ndarray:
    return (level * np.sin(2 * np.pi * hertz * np.arange(samples) / 16000)).astype(np.float32)


def power(x: np.ndarray) -> float:
    return float(np.mean(x.astype(np.float64) ** 2))


@pytest.mark.parametrize("snr", [-10.0, 0.0, 12.5, 40.0])
@pytest.mark.parametrize("level", [1e-4, 0.5])
def test_the_mixture_has_the_ratio_and_the_speechs_power(snr: float, level: float) -> None:
    speech, noise = tone(16000, 500.0), tone(16000, 3000.0, level)
    y = blend(speech, noise, snr, 0.0)
    assert power(y) == pytest.approx(power(speech))
    spectrum = np.abs(np.fft.rfft(y))
    assert 20 * np.log10(spectrum[500] / spectrum[3000]) == pytest.approx(snr, abs=0.01)


def test_silence_on_either_side_leaves_the_speech() -> None:
    speech, nothing = tone(800, 500.0), np.zeros(800, np.float32)
    np.testing.assert_array_equal(blend(speech, nothing, 10.0, 0.5), speech)
    np.testing.assert_array_equal(blend(nothing, speech, 10.0, 0.5), nothing)


def test_no_noise_at_all_leaves_the_speech() -> None:
    speech = tone(800, 500.0)
    np.testing.assert_array_equal(blend(speech, np.zeros(0, np.float32), 10.0, 0.5), speech)


@pytest.mark.parametrize("samples", [1, 700, 800, 5000])
def test_a_noise_of_any_length_is_mixed_and_left_as_it_is(samples: int) -> None:
    speech = tone(800, 500.0)
    noise = np.random.default_rng(0).normal(0.0, 0.1, samples).astype(np.float32)
    before = speech.copy(), noise.copy()
    for place in (0.0, 0.5, 1.0):
        y = blend(speech, noise, 3.0, place)
        assert y.shape == speech.shape
        assert power(y) == pytest.approx(power(speech))
    np.testing.assert_array_equal(speech, before[0])
    np.testing.assert_array_equal(noise, before[1])


def test_the_place_chooses_the_piece_of_a_long_noise() -> None:
    noise = np.concatenate([tone(16000, 1000.0), tone(16000, 3000.0)])
    speech = tone(16000, 500.0)
    for place, hertz in ((0.0, 1000), (1.0, 3000)):
        spectrum = np.abs(np.fft.rfft(blend(speech, noise, 0.0, place)))
        assert spectrum[hertz] == pytest.approx(spectrum[500], rel=0.02)


@pytest.mark.parametrize("samples", [1, 2, 3, 1000, 8000, 15999, 16000])
def test_a_noise_of_any_length_is_lengthened_without_a_gap(samples: int) -> None:
    noise = np.random.default_rng(0).normal(0.0, 0.1, samples).astype(np.float32)
    long = lengthened(noise, 16000)
    assert len(long) >= 16000
    assert long.dtype == noise.dtype
    assert np.isfinite(long).all()
    if samples >= 1000:
        for piece in np.split(long[:16000], 16):
            assert power(piece) > 0.2 * power(noise)


def test_a_noise_that_is_long_enough_is_itself() -> None:
    noise = tone(500, 100.0)
    assert lengthened(noise, 500) is noise
