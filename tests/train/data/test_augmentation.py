"""Augmentation changes what it says and nothing else; equal generators give equal samples."""

from __future__ import annotations

from collections.abc import Callable
from typing import get_args

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

torch = pytest.importorskip("torch")

from train.config.batches import AugmentationConfig, CodecName
from train.data import augmentation as a
from train.data.augmentation import augment, joined, spec_augment
from train.data.effects.codecs import CODECS

OFF = AugmentationConfig(
    speed=0.0, gain_db=(0.0, 0.0), noise=0.0, reverberation=0.0, narrowband=0.0, dither=0.0
)  # fmt: skip


def clip(samples: int = 16000, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    envelope = np.abs(np.sin(np.arange(samples) / 2000.0))
    return (0.1 * envelope * rng.standard_normal(samples)).astype(np.float32)


def voice(rng: np.random.Generator) -> np.ndarray:
    """A clip of another speaker, of some 30 to 300 ms."""
    return clip(int(rng.integers(500, 5000)), int(rng.integers(1000)))


def power(x: np.ndarray) -> float:
    return float(np.mean(x.astype(np.float64) ** 2))


@pytest.mark.parametrize("samples", [1, 7, 160, 16000])
def test_all_together_keep_type_and_finiteness_on_any_length(samples: int) -> None:
    config = AugmentationConfig(
        noise=1.0, reverberation=1.0, narrowband=1.0, babble=1.0, codec=1.0, vocal_tract=0.2
    )
    y = augment(clip(samples), np.random.default_rng(0), config, [clip(500, 2)], voice)
    assert y.dtype == np.float32
    assert np.isfinite(y).all()
    assert 0.85 * samples <= len(y) <= 1.15 * samples + 1


def test_digital_silence_stays_silent_and_finite() -> None:
    config = AugmentationConfig(noise=1.0, reverberation=1.0, narrowband=1.0)
    y = augment(np.zeros(8000, np.float32), np.random.default_rng(0), config, [], voice)
    assert not y.any()


def test_with_everything_off_a_clip_is_itself() -> None:
    x = clip()
    assert np.array_equal(augment(x, np.random.default_rng(0), OFF, [], voice), x)


def test_equal_generators_give_equal_samples() -> None:
    config = AugmentationConfig(noise=1.0, reverberation=1.0)
    one, two, other = (
        augment(clip(), np.random.default_rng(seed), config, [clip(500, 2)], voice)
        for seed in (5, 5, 6)
    )
    assert np.array_equal(one, two)
    assert len(one) != len(other) or not np.array_equal(one, other)


def test_speed_changes_the_length_within_its_range() -> None:
    lengths = [len(a.speed(clip(), np.random.default_rng(s), 0.2)) / 16000 for s in range(40)]
    assert 0.8 <= min(lengths) < 0.9
    assert 1.1 < max(lengths) <= 1.2001


def test_gain_changes_the_level_and_never_clips() -> None:
    x = clip()
    y = a.gain(x, np.random.default_rng(0), (6.0, 6.0))
    np.testing.assert_allclose(y, x * 10**0.3, rtol=1e-6)
    loud = a.gain(x, np.random.default_rng(0), (60.0, 60.0))
    assert np.abs(loud).max() == pytest.approx(1.0)


def test_a_room_keeps_the_direct_sound_where_it_was() -> None:
    x = np.zeros(8000, np.float32)
    x[1000] = 0.5
    y = a.reverberation(x, np.random.default_rng(0))
    assert len(y) == len(x)
    assert np.abs(y).argmax() == 1000
    assert y[1000] == pytest.approx(0.5, abs=1e-4)
    assert np.abs(y[:1000]).max() < 1e-4
    assert power(y[1032:]) > 0.0


def test_a_telephone_carries_nothing_above_4_khz() -> None:
    white = np.random.default_rng(0).standard_normal(16000).astype(np.float32)
    spectrum = np.abs(np.fft.rfft(a.narrowband(white))) ** 2
    assert spectrum[4400:].mean() < 1e-3 * spectrum[:3400].mean()


def test_coloured_noise_has_unit_power_at_any_slope() -> None:
    for seed in range(10):
        assert power(a.coloured_noise(8000, np.random.default_rng(seed))) == pytest.approx(1.0)


@pytest.mark.parametrize("recordings", [[], [clip(3000, 3)]], ids=["synthetic", "recorded"])
def test_noise_keeps_the_power_of_speech(recordings: list[np.ndarray]) -> None:
    x = clip()
    y = a.add_noise(x, np.random.default_rng(11), recordings, (5.0, 5.0))
    assert power(y) == pytest.approx(power(x), rel=1e-3)
    scale = float(x @ y / (x @ x))
    snr = 10 * np.log10(power(scale * x) / power(y - scale * x))
    assert snr == pytest.approx(5.0, abs=0.7)


def test_joined_clips_are_whole_in_order_and_apart() -> None:
    clips = [clip(4000, seed) for seed in range(3)]
    config = AugmentationConfig(dither=0.0, digital_zeros=1.0, gap_seconds=0.5, lead_seconds=0.3)
    x = joined(clips, np.random.default_rng(0), config, False, [])
    place = 0
    for index, part in enumerate(clips):
        found = next(i for i in range(place, len(x)) if np.array_equal(x[i : i + 4000], part))
        assert found - place <= (0.5 if index else 0.3) * 16000
        assert not x[place:found].any()
        place = found + 4000
    assert not x[place:].any()


def test_long_silences_come_when_asked_for() -> None:
    config = AugmentationConfig(
        dither=0.0, digital_zeros=1.0, long_zeros=1.0, long_zeros_seconds=(2.0, 2.0)
    )
    x = joined([clip(1600)], np.random.default_rng(0), config, True, [])
    assert len(x) == 2 * 32000 + 1600
    short = joined([clip(1600)], np.random.default_rng(0), config, False, [])
    assert len(short) < 32000


def test_silence_is_zeros_or_a_floor_as_loud_as_the_clips_own() -> None:
    rng, config = np.random.default_rng(0), AugmentationConfig(digital_zeros=0.0)
    levels = [a.silence(rng, config, 0.5, 1e-3, False, []) for _ in range(30)]
    assert np.sqrt(np.mean([power(x) for x in levels if len(x)])) == pytest.approx(1e-3, rel=0.05)


@pytest.mark.parametrize("recordings", [[], [clip(3000, 3)]], ids=["synthetic", "recorded"])
def test_a_silence_may_be_a_room_at_its_level(recordings: list[np.ndarray]) -> None:
    config = AugmentationConfig(room=1.0, room_dbfs=(-50.0, -50.0))
    for seed in range(20):
        x = a.silence(np.random.default_rng(seed), config, 3.0, 1e-3, False, recordings)
        assert 10 * np.log10(power(x)) == pytest.approx(-50.0, abs=0.01)


def masked(z: np.ndarray) -> Callable[[int], np.ndarray]:
    return lambda axis: (z == 0).all(axis=axis)


def test_masks_are_bands_and_stretches_no_wider_than_asked() -> None:
    config = AugmentationConfig(frequency_masks=1, frequency_width=10, time_masks=1, time_share=0.1)
    widths, spans = [], []
    for seed in range(40):
        z = spec_augment(
            torch.ones(1, 100, 80), torch.tensor([100]), config, np.random.default_rng(seed)
        )[0].numpy()
        bins, frames = masked(z)(0), masked(z)(1)
        for mask, found in ((bins, widths), (frames, spans)):
            places = np.flatnonzero(mask)
            found.append(len(places))
            assert len(places) == 0 or places[-1] - places[0] + 1 == len(places)
    assert max(widths) == 10
    assert max(spans) == 10
    assert min(widths) == 0


def test_masks_differ_by_row_and_leave_the_gradient_alone_elsewhere() -> None:
    z = torch.ones(4, 60, 80, requires_grad=True)
    config = AugmentationConfig(frequency_masks=2, frequency_width=20)
    y = spec_augment(z, torch.tensor([60, 60, 30, 0]), config, np.random.default_rng(1))
    y.sum().backward()
    assert torch.equal(z.grad, y.detach())
    assert not torch.equal(y[0], y[1])


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"dither": -0.1}, "dither is -0.1, wants 0 to 1"),
        ({"speed": 0.5}, "speed is 0.5, wants 0 to 0.5"),
        ({"noise_snr_db": (9.0, 3.0)}, "the lower end first"),
    ],
)
def test_values_out_of_range_are_named(values: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        AugmentationConfig(**values)


def test_a_quiet_microphone_takes_noise_and_silences_down_with_the_words() -> None:
    some = clip()
    options = {"dither": 0.0, "digital_zeros": 0.0, "quiet_db": (-30.0, -30.0)}
    loud, quiet = (
        joined([some], np.random.default_rng(1), AugmentationConfig(quiet=q, **options), False, [])
        for q in (0.0, 1.0)
    )
    assert np.abs(quiet).max() == pytest.approx(np.abs(loud).max() * 10.0**-1.5, rel=1e-3)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"babble": 1.5}, "babble is 1.5, wants 0 to 1"),
        ({"vocal_tract": 0.6}, "vocal_tract is 0.6, wants 0 to 0.5"),
        ({"babble_voices": (4, 2)}, "babble_voices is .4, 2., wants the lower end first"),
        ({"babble_voices": (0, 2)}, "wants 1 or more"),
        (
            {"noise_snr_start_db": (60.0, 30.0)},
            "noise_snr_start_db is .60.0, 30.0., wants the lower",
        ),
        ({"noise_ramp": -1}, "noise_ramp is -1, wants 0 or more"),
        ({"trim_db": 3.0}, "trim_db is 3.0, wants less than 0"),
        ({"codecs": ()}, "codecs is empty"),
        ({"spellings": 0}, "spellings is 0, wants 1 or more"),
        ({"spelling_alpha": -0.1}, "spelling_alpha is -0.1, wants 0 or more"),
    ],
)
def test_values_of_effects_out_of_range_are_named(values: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        AugmentationConfig(**values)


def test_the_configuration_names_the_codecs_that_there_are() -> None:
    assert set(get_args(CodecName)) == set(CODECS)


def test_babble_has_the_ratio_and_the_voices_that_are_asked_for() -> None:
    drawn = []

    def draw(rng: np.random.Generator) -> np.ndarray:
        drawn.append(rng)
        return clip(20000, seed=len(drawn))

    x = clip()
    y = a.add_babble(x, np.random.default_rng(1), draw, (3, 3), (10.0, 10.0)).astype(np.float64)
    assert len(drawn) == 3
    assert power(y) == pytest.approx(power(x), rel=1e-4)
    scale = float(x @ y / (x @ x))
    ratio = power(scale * x) / power(y - scale * x)
    assert 10 * np.log10(ratio) == pytest.approx(10.0, abs=0.7)


@settings(max_examples=15, deadline=None)
@given(samples=st.integers(1, 6000), seed=st.integers(0, 100))
def test_babble_keeps_length_and_type_stays_finite_and_depends_on_the_generator(
    samples: int, seed: int
) -> None:
    x = clip(samples, seed)
    one, two = (
        a.add_babble(x, np.random.default_rng(seed), voice, (1, 5), (5.0, 15.0)) for _ in range(2)
    )
    assert one.dtype == np.float32 and len(one) == samples
    assert np.isfinite(one).all()
    assert np.array_equal(one, two)
    silent = a.add_babble(0.0 * x, np.random.default_rng(seed), voice, (1, 5), (5.0, 15.0))
    assert not silent.any()


def test_trimming_takes_outer_silence_away_before_all_else() -> None:
    x = np.concatenate([np.zeros(16000, np.float32), clip(8000), np.zeros(16000, np.float32)])
    config = msgspec.structs.replace(OFF, trim=1.0, trim_db=-40.0, trim_seconds=0.05)
    y = augment(x, np.random.default_rng(0), config, [], voice)
    assert 8000 <= len(y) <= 8000 + 2 * (2048 + 800)
