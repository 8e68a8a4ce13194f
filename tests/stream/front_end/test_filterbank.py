"""Filters that are an array of the model, and spectra of magnitude."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

from stream.front_end.filterbank import MEL, Filterbank, check_bank, distance
from stream.front_end.log_mel import FrontEnd, hann, mel_bank, streamed_log_mel
from tests.tiny import tiny_network

FLOOR = 2.0**-23
FIXED = FrontEnd(400, FLOOR, initial_padding=True)
MAGNITUDE = replace(FIXED, spectrum="magnitude")


def sound(rows: int = 2, samples: int = 4000) -> NDArray[np.float32]:
    return np.random.default_rng(0).normal(0.0, 0.1, (rows, samples)).astype(np.float32)


@pytest.mark.parametrize("fixed", [FIXED, MAGNITUDE], ids=["power", "magnitude"])
def test_a_learned_bank_begins_with_the_frames_of_the_fixed_one(fixed: FrontEnd) -> None:
    bank = mel_bank(fixed.spectrum).astype(np.float32)
    learned = replace(fixed, learned=True, mel=bank)
    np.testing.assert_array_equal(
        streamed_log_mel(sound(), learned), streamed_log_mel(sound(), fixed)
    )


def test_the_frames_of_magnitudes_are_the_logarithm_of_a_power() -> None:
    x = sound(rows=1)[0].astype(np.float64)
    padded = np.concatenate([np.zeros(240), x])
    emphasised = padded - 0.97 * np.concatenate([[0.0], padded[:-1]])
    want = [
        2.0 * np.log(mel_bank("magnitude") @ np.abs(np.fft.rfft(part * hann(400), 512)))
        for part in (emphasised[160 * k : 160 * k + 400] for k in range(25))
    ]
    np.testing.assert_allclose(streamed_log_mel(sound(rows=1), MAGNITUDE)[0], want, atol=1e-4)


def test_a_flat_spectrum_gives_the_same_frames_as_power_and_as_magnitudes() -> None:
    flat = np.full(257, 0.3)
    np.testing.assert_allclose((mel_bank("magnitude") @ flat) ** 2, mel_bank("power") @ flat**2)


def test_noise_has_nearly_the_level_of_its_power() -> None:
    levels = [streamed_log_mel(sound(), each).mean() for each in (FIXED, MAGNITUDE)]
    assert abs(levels[0] - levels[1]) < 0.5


@pytest.mark.parametrize("scale", [0.0, 1.0], ids=["silence", "full scale"])
def test_frames_of_magnitudes_are_finite_at_both_ends(scale: float) -> None:
    square = np.where(np.arange(4000) // 20 % 2, scale, -scale).astype(np.float32)[None]
    frames = streamed_log_mel(square, MAGNITUDE)
    assert np.isfinite(frames).all()
    if not scale:
        np.testing.assert_array_equal(frames, np.full_like(frames, np.log(np.float32(FLOOR))))


def test_frames_of_learned_filters_want_the_filters() -> None:
    specification = tiny_network(filterbank=Filterbank(mel="learned")).specification
    with pytest.raises(ValueError, match="filters are learned; take that of the network"):
        streamed_log_mel(sound(), specification.front_end)


def test_a_negative_weight_is_named() -> None:
    bank = mel_bank("power").astype(np.float32)
    check_bank(bank)
    bank[3, 8] = -0.25
    with pytest.raises(ValueError, match=rf"{MEL} is -0.25 at \[3, 8\]"):
        check_bank(bank)


def test_the_distance_is_a_share_of_the_fixed_filters() -> None:
    bank = mel_bank("magnitude").astype(np.float32)
    assert distance(bank, "magnitude") < 1e-6
    np.testing.assert_allclose(distance(np.float32(1.25) * bank, "magnitude"), 0.25, rtol=1e-5)
