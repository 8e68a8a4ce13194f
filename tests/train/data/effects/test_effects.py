"""Every effect keeps finite samples, is a function of its generator, and does what its name says."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from train.data.effects.codecs import CODECS, transcode
from train.data.effects.noise_schedule import scheduled_snr
from train.data.effects.trimming import trimmed
from train.data.effects.vocal_tract import warp_formants

RATE = 16000


def noise(samples: int, seed: int = 0) -> np.ndarray:
    return (0.1 * np.random.default_rng(seed).standard_normal(samples)).astype(np.float32)


def burst(at: int, samples: int = RATE) -> np.ndarray:
    """A little noise with a tone burst in it."""
    x = 0.01 * noise(samples)
    x[at : at + 400] += (0.5 * np.sin(0.3 * np.arange(400)) * np.hanning(400)).astype(np.float32)
    return x


EFFECTS: dict[str, Callable[[np.ndarray, np.random.Generator], np.ndarray]] = {
    **{name: lambda x, rng, name=name: transcode(x, rng, name) for name in CODECS},
    "vocal tract": lambda x, rng: warp_formants(x, rng.uniform(0.8, 1.25)),
}


@pytest.mark.parametrize("name", EFFECTS)
@settings(max_examples=15, deadline=None)
@given(
    samples=st.integers(1, 6000),
    seed=st.integers(0, 100),
    kind=st.sampled_from(["noise", "silence", "full scale", "constant"]),
)
def test_effects_keep_length_and_type_stay_finite_and_depend_on_the_generator_alone(
    name: str, samples: int, seed: int, kind: str
) -> None:
    x = noise(samples, seed)
    if kind != "noise":
        x = {"silence": 0.0 * x, "full scale": np.sign(x), "constant": 0.0 * x + 0.25}[kind]
    before = x.copy()
    one, two = (EFFECTS[name](x, np.random.default_rng(seed)) for _ in range(2))
    assert one.dtype == np.float32
    assert len(one) == samples
    assert np.isfinite(one).all()
    assert np.array_equal(one, two)
    assert np.array_equal(x, before)
    if kind == "silence" and name not in CODECS:
        assert not one.any()


@pytest.mark.parametrize("name", CODECS)
def test_a_codec_changes_samples_and_leaves_words_where_they_are(name: str) -> None:
    x = burst(at=6000)
    for seed in range(5):
        y = transcode(x, np.random.default_rng(seed), name)
        assert not np.array_equal(x, y)
        match = np.correlate(y[5000:7400], x[5800:6600], "valid")
        assert abs(int(match.argmax()) - 800) <= 2
        assert float(x @ y / (np.linalg.norm(x) * np.linalg.norm(y))) > 0.8


@pytest.mark.parametrize("name", ["mu-law", "a-law", "gsm"])
def test_codecs_of_telephony_leave_nothing_above_4_khz(name: str) -> None:
    spectrum = np.abs(np.fft.rfft(transcode(noise(RATE), np.random.default_rng(0), name))) ** 2
    assert spectrum[4400:].mean() < 1e-2 * spectrum[500:3400].mean()


def test_a_codec_clips_what_is_beyond_full_scale() -> None:
    y = transcode(np.full(1600, 3.0, np.float32), np.random.default_rng(0), "mu-law")
    assert np.abs(y).max() < 1.2


def test_a_warp_of_one_gives_the_clip_again() -> None:
    x = burst(at=3000, samples=8000)
    np.testing.assert_allclose(warp_formants(x, 1.0), x, atol=1e-6)


@pytest.mark.parametrize("factor", [0.85, 1.15])
def test_formants_move_by_the_factor_and_the_pitch_does_not(factor: float) -> None:
    # Pulses at 125 Hz through a resonance at 1500 Hz.
    pulses = np.zeros(RATE)
    pulses[::128] = 1.0
    decay = np.exp(-np.arange(400) / 60.0) * np.sin(2 * np.pi * 1500.0 * np.arange(400) / RATE)
    x = (0.3 * np.convolve(pulses, decay)[:RATE]).astype(np.float32)
    spectra = [np.abs(np.fft.rfft(y[4000:12000])) ** 2 for y in (x, warp_formants(x, factor))]
    hertz = np.arange(len(spectra[0])) * 2.0
    near = (hertz > 700.0) & (hertz < 2600.0)
    before, after = (float(np.average(hertz[near], weights=s[near])) for s in spectra)
    assert after / before == pytest.approx(factor, abs=0.06)
    strongest = hertz[np.argsort(spectra[1])[-6:]]
    np.testing.assert_allclose(np.round(strongest / 125.0) * 125.0, strongest, atol=2.0)


@pytest.mark.parametrize(("begin", "end"), [(4000, 12000), (0, 3000), (14000, 16000), (0, 16000)])
def test_trimming_keeps_the_sound_and_little_else(begin: int, end: int) -> None:
    x = 1e-5 * noise(RATE)
    x[begin:end] += noise(end - begin, 1)
    y = trimmed(x, -40.0, 160)
    first = next(i for i in range(RATE) if np.array_equal(x[i : i + len(y)], y))
    last = first + len(y)
    assert first <= begin and last >= end
    assert begin - first <= 2048 + 160 and last - end <= 2048 + 160


@settings(max_examples=40, deadline=None)
@given(samples=st.integers(0, 5000), seed=st.integers(0, 50), silent=st.booleans())
def test_trimming_never_leaves_nothing(samples: int, seed: int, silent: bool) -> None:
    x = noise(samples, seed) * (0.0 if silent else 1.0)
    y = trimmed(x.astype(np.float32), -60.0, 0)
    assert (len(y) > 0) == (samples > 0)
    assert len(y) <= samples


def test_the_noise_schedule_is_that_of_generation_1_14(golden: Path) -> None:
    vectors = np.load(golden / "schedules.npz")
    start = (30.0, 60.0)
    for step, row in zip(vectors["noise_steps"], vectors["noise_low_high_bg_babble"], strict=True):
        background = scheduled_snr(int(step), start, (0.0, 30.0), delay=4896, ramp=4896)
        babble = scheduled_snr(int(step), start, (15.0, 30.0), delay=4896, ramp=4896)
        assert [*background, *babble] == list(row)


def test_a_schedule_without_a_ramp_changes_at_once_and_ends_exactly() -> None:
    ranges = [scheduled_snr(n, (30.0, 60.0), (2.5, 20.0), 10, 0) for n in (0, 10, 11)]
    assert ranges == [(30.0, 60.0), (30.0, 60.0), (2.5, 20.0)]
    assert scheduled_snr(20, (30.0, 60.0), (2.5, 20.0), 10, 10) == (2.5, 20.0)
