"""Log-mel in fixed point: against float64, at extremes, within the widths that the rules state."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from stream.audio import read_audio
from stream.front_end.log_mel import CARD_FLOOR, FrontEnd, hann, mel_matrix, streamed_log_mel
from stream.integer.fixed import rhe
from stream.integer.front_end import FixedFrontEnd
from stream.integer.log_mel import (
    FixedLogMel,
    bit_length,
    block,
    log2,
    log2_table,
    mel_weights,
    samples_of,
    spectrum,
    twiddles,
    window_weights,
)

FLOOR = 2.0**-23
SAMPLES = np.arange(1600)
EXTREMES: dict[str, NDArray[np.int16]] = {
    **{
        f"square wave of half period {half}": np.where(SAMPLES // half % 2, 32767, -32768)
        for half in (1, 2, 3, 7, 50, 128, 256)
    },
    "DC": np.full(1600, -32768),
    "one impulse": np.where(SAMPLES == 777, -32768, 0),
    "impulses a hop apart": np.where(SAMPLES % 160 == 0, 32767, 0),
    "the smallest sample": np.where(SAMPLES == 777, 1, 0),
    "noise of full scale": np.random.default_rng(0).integers(-32768, 32768, 1600),
    "noise of two levels": np.random.default_rng(1).choice([-32768, 32767], 1600),
    "silence": np.zeros(1600, int),
}


def sha256(table: NDArray[np.int64]) -> str:
    return hashlib.sha256(np.ascontiguousarray(table, "<i8").tobytes()).hexdigest()[:16]


def error(got: NDArray[np.int32], want: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the difference of Q.10 log2 values from natural logarithms."""
    return np.asarray(got * np.log(2.0) / 1024 - want)


@pytest.mark.parametrize(
    ("table", "digest"),
    [
        (window_weights(320), "e8b223276c273d22"),
        (window_weights(400), "b6f4eb9022b0eb85"),
        (window_weights(512), "6ca025f844eb479d"),
        (twiddles(), "669393d3dcbe8901"),
        (mel_weights(), "47e71af55e8a00f4"),
        (log2_table(), "14c571eec72c8581"),
    ],
)
def test_tables_are_those_of_every_machine(table: NDArray[np.int64], digest: str) -> None:
    assert sha256(table) == digest


def test_tables_fit_their_widths() -> None:
    assert all(0 <= window_weights(w).min() <= window_weights(w).max() <= 2**15 for w in (161, 512))
    assert twiddles().min() == -(2**17)
    assert twiddles().max() < 2**17
    assert 0 <= mel_weights().min() <= mel_weights().max() < 2**15
    assert (log2_table()[0], log2_table()[-1]) == (0, 2**16)


@pytest.mark.parametrize("shift", [1, 2, 17])
def test_rounding_is_half_to_even_both_ways(shift: int) -> None:
    a = np.arange(-(5 << shift), 5 << shift, (1 << shift) // 4 or 1)
    np.testing.assert_array_equal(rhe(a, shift), np.rint(a / 2**shift))


def test_bit_length_is_that_of_integers() -> None:
    values = [0, 1, 2, 3, *(2**n + d for n in range(2, 63) for d in (-1, 0, 1)), 2**63 - 1]
    got = bit_length(np.array(values, np.int64))
    assert got.tolist() == [value.bit_length() for value in values]


def test_samples_are_rounded_to_16_bits_and_clamped() -> None:
    pcm = np.array([-32768, -1, 0, 1, 32767], np.int16)
    np.testing.assert_array_equal(samples_of(pcm.astype(np.float32) / 32768), pcm)
    assert samples_of(pcm) is pcm or np.shares_memory(samples_of(pcm), pcm)
    x = np.array([-1.5, 1.0, 1e6, 0.5 / 32768, 1.5 / 32768], np.float32)
    assert samples_of(x).tolist() == [-32768, 32767, 32767, 0, 2]


@pytest.mark.parametrize("name", EXTREMES)
@pytest.mark.parametrize("window", [161, 320, 400, 512])
def test_extremes_stay_within_the_widths(name: str, window: int) -> None:
    front_end = FixedFrontEnd(window, 2.0**-72, initial_padding=True)
    pcm = EXTREMES[name].astype(np.int16)[None]
    previous, tail = front_end.prime(pcm[:, :0])
    x = pcm.astype(np.int64)
    y = (x << 15) - 31785 * np.concatenate([previous, x[:, :-1]], axis=1)
    assert np.abs(y).max() < 2**31
    values = FixedLogMel(window, 2.0**-72).values(np.concatenate([tail, y], axis=1))
    assert np.abs(values.mantissas).max() <= 2**23 - 256
    assert values.exponent.min() >= 0
    assert values.exponent.max() <= 46
    assert max(np.abs(values.re).max(), np.abs(values.im).max()) < 2**23
    assert 0 <= values.power.min() <= values.power.max() < 2**46
    assert 0 <= values.energy.min() <= values.energy.max() < 2**62
    assert -72 * 1024 <= values.frames.min() <= values.frames.max() < 16 * 1024
    np.testing.assert_array_equal(streamed_log_mel(pcm, front_end), values.frames)


def test_no_input_can_leave_the_widths() -> None:
    # Complex magnitudes: an output is half the sum of two, one of them turned by a twiddle whose
    # magnitude is not quite 1, and rounded by at most half a unit in each part.
    modulus = 2.0**23 - 256
    for c, s in twiddles():
        modulus = modulus * (1 + np.hypot(c, s).max() / 2**17) / 2 + np.sqrt(0.5)
    assert modulus < 2**23
    assert modulus**2 * mel_weights().sum(axis=0).max() < 2.0**62
    assert 2**30 + 31785 * 2**15 < 2**31
    largest = (2**30 + 31785 * 2**15) * 2**15
    assert (largest + (largest >> 14)).bit_length() <= 46


def test_the_largest_mantissas_overflow_no_butterfly() -> None:
    a = np.full((1, 512), 2**23 - 256)
    re, im = spectrum(a)
    assert re[0, 0] == 2**23 - 256
    assert not np.any(re[0, 1:]) and not im.any()
    for k in (1, 37, 128, 200, 256):
        wave = np.where(np.cos(2 * np.pi * k * np.arange(512) / 512 + 0.1) < 0, -1, 1)
        re, im = spectrum(wave[None] * (2**23 - 256))
        want = np.fft.rfft(wave * (2.0**23 - 256)) / 512
        assert max(np.abs(re - want.real).max(), np.abs(im - want.imag).max()) < 64


@pytest.mark.parametrize("bits", [1, 10, 22, 23, 24, 40, 45])
def test_a_frame_keeps_its_headroom_whatever_its_exponent(bits: int) -> None:
    full = 2**bits - 1
    for largest in {full, full - (full >> 14), full - (full >> 13), 2 ** (bits - 1)}:
        mantissas, exponent = block(np.array([[largest, -largest, 0]]))
        assert np.abs(mantissas).max() <= 2**23 - 256
        assert np.abs(mantissas).max() >= 2**22 - 2**9
        assert mantissas[0, 0] == -mantissas[0, 1]
        assert abs(mantissas[0, 0] * 2.0 ** (exponent[0] - 23) / largest - 1) < 2.0**-22


def test_the_logarithm_is_within_a_unit() -> None:
    rng = np.random.default_rng(0)
    energy = (rng.integers(1, 2**62, (500, 80)) >> rng.integers(0, 62, (500, 80))).clip(1)
    n = rng.integers(0, 47, 500)
    want = np.log2(energy.astype(float)) + (2 * n - 138)[:, None]
    got = log2(energy, n, -(10**6)) / 1024
    assert np.abs(got - want).max() < 2.0**-11 + 7e-5


@pytest.mark.parametrize("floor", [CARD_FLOOR, FLOOR, 2.0**-72])
def test_silence_gives_the_value_of_the_floor(floor: float) -> None:
    front_end = FixedFrontEnd(400, floor, initial_padding=True)
    frames = streamed_log_mel(np.zeros((1, 1600), np.int16), front_end)
    assert len(np.unique(frames)) == 1
    assert abs(error(frames, np.log(floor))).max() <= np.log(2) / 2048
    quiet = streamed_log_mel(np.tile(np.int16([0, 1]), 800)[None], front_end)
    assert quiet.min() >= frames.max()


@pytest.mark.parametrize("initial_padding", [False, True])
@pytest.mark.parametrize("window", [320, 400, 512])
@pytest.mark.parametrize("samples", [1, 159, 161, 240, 241, 399, 400, 561, 8000])
def test_frames_are_those_of_float64(initial_padding: bool, window: int, samples: int) -> None:
    pcm = np.random.default_rng(samples).normal(0.0, 3000.0, (2, samples)).astype(np.int16)
    options = (window, FLOOR, initial_padding, 320)
    got = streamed_log_mel(pcm, FixedFrontEnd(*options))
    want = streamed_log_mel(pcm / 32768.0, FrontEnd(*options))
    assert got.shape == want.shape
    spoken = want > np.log(1e-6)
    # White noise has no valleys far below its peaks; the last frames of padding are such valleys.
    assert np.abs(error(got, want))[spoken].max(initial=0.0) < 0.05


def test_recordings_are_those_of_float64_within_the_measured_error(speech: Path) -> None:
    errors = []
    for path in sorted((speech / "audio/an4/dev").rglob("*.flac"))[::20]:
        pcm = samples_of(read_audio(path)[None])
        want = streamed_log_mel(pcm / 32768.0, FrontEnd(400, FLOOR, initial_padding=False))
        errors.append(error(streamed_log_mel(pcm, FixedFrontEnd(400, FLOOR, False)), want).ravel())
    e = np.abs(np.concatenate(errors))
    assert len(e) > 50_000
    assert np.sqrt(np.mean(e**2)) < 0.005
    assert np.quantile(e, 0.999) < 0.03


def test_float_samples_give_the_frames_of_their_16_bits() -> None:
    pcm = np.random.default_rng(0).integers(-32768, 32768, (3, 4000)).astype(np.int16)
    front_end = FixedFrontEnd(400, FLOOR, initial_padding=False)
    np.testing.assert_array_equal(
        streamed_log_mel(pcm.astype(np.float32) / 32768, front_end),
        streamed_log_mel(pcm, front_end),
    )


def test_a_row_does_not_depend_on_its_place_or_neighbours() -> None:
    pcm = np.random.default_rng(0).integers(-32768, 32768, (5, 1600)).astype(np.int16)
    front_end = FixedFrontEnd(400, FLOOR, initial_padding=True)
    alone = np.concatenate([streamed_log_mel(row[None], front_end) for row in pcm])
    np.testing.assert_array_equal(streamed_log_mel(pcm, front_end), alone)
    np.testing.assert_array_equal(streamed_log_mel(pcm[::-1], front_end), alone[::-1])


def test_states_are_integers() -> None:
    front_end = FixedFrontEnd(400, FLOOR, initial_padding=False)
    x = np.random.default_rng(0).normal(0.0, 0.1, (2, 240)).astype(np.float32)
    for state in (front_end.initial_state(2), front_end.prime(x)):
        previous, tail = state
        assert (previous.dtype, previous.shape) == (np.int16, (2, 1))
        assert (tail.dtype, tail.shape) == (np.int32, (2, 240))


@pytest.mark.parametrize("floor", [2.0**-73, 1.0])
def test_a_floor_outside_the_format_is_refused(floor: float) -> None:
    with pytest.raises(ValueError, match="the floor is .*, wants 2\\^-72 to 1"):
        FixedLogMel(400, floor)


def test_a_step_of_a_broken_hop_is_refused() -> None:
    front_end = FixedFrontEnd(400, FLOOR, initial_padding=True)
    with pytest.raises(ValueError, match="161 samples are not a multiple of the hop, 160"):
        front_end.step(np.zeros((1, 161), np.int16), front_end.initial_state(1))


def test_no_table_entry_lies_where_another_cosine_would_round_otherwise() -> None:
    def distance(exact: NDArray[np.float64]) -> float:
        return float(np.abs(np.abs(exact % 1.0) - 0.5).min())

    turn = np.arange(256) / 512
    assert distance(np.cos(2 * np.pi * turn) * 2**17) > 1e-6
    assert distance(mel_matrix() * 2**20) > 1e-6
    assert distance(np.log2(1 + np.arange(64) / 64) * 2**16) > 1e-6
    for window in (320, 400, 512):
        assert distance(hann(window) * 2**15) > 1e-6
