"""Signals of the scenarios: levels, tones, telephones."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import soundfile

from stream.audio import g711
from stream.scenarios import signals

CLIP = 0.3 * np.sin(2.0 * np.pi * 440.0 * np.arange(16_000) / 16_000).astype(np.float32)


def rms_dbfs(x: np.ndarray) -> float:
    return float(10.0 * np.log10(np.mean(np.square(x, dtype=np.float64))))


def test_noise_is_repeated_and_has_the_level_that_was_asked_for() -> None:
    x = signals.at_level(signals.white_noise(2.0), 5.0, -50.0)
    assert x.shape == (80_000,) and x.dtype == np.float32
    assert rms_dbfs(x) == pytest.approx(-50.0, abs=0.1)
    np.testing.assert_array_equal(x[:16_000], x[32_000:48_000])


def test_tones_stand_in_exact_zeros() -> None:
    x = signals.tones("DTMF, 0.1 s", 5.0)
    assert len(x) == 80_000 and np.abs(x[:1600]).max() > 0.3
    assert not x[1600:16_000].any() and x[16_001:17_600].any()


def test_sixteen_bits_are_whole_and_clamped() -> None:
    got = signals.sixteen_bits(np.array([0.0, 1.4 / 32768, -1.0, 1.0], np.float32))
    np.testing.assert_array_equal(got * 32768, [0, 1, -32768, 32767])


def test_a_telephone_keeps_what_is_below_4_khz() -> None:
    high = np.sin(2.0 * np.pi * 6000.0 * np.arange(16_000) / 16_000).astype(np.float32)
    got = signals.narrowband(CLIP + high)
    assert len(got) == 16_000
    assert rms_dbfs(got[2000:-2000] - CLIP[2000:-2000]) < -40.0


@pytest.mark.parametrize("law", [g711.MU_LAW, g711.A_LAW], ids=["mu", "A"])
def test_a_law_gives_its_own_samples_and_about_38_db(law: np.ndarray) -> None:
    noise = rms_dbfs((signals.telephone(CLIP, law) - signals.narrowband(CLIP))[2000:-2000])
    assert -60.0 < noise - rms_dbfs(CLIP) < -33.0


def test_noise_is_read_from_a_folder_and_silence_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no recordings in it"):
        signals.read_noises(tmp_path)
    soundfile.write(tmp_path / "fan.wav", CLIP, 16_000)
    (tmp_path / "README").write_text("a fan")
    assert list(signals.read_noises(tmp_path)) == ["fan"]
    soundfile.write(tmp_path / "still.wav", np.zeros(160), 16_000)
    with pytest.raises(ValueError, match="still is silent"):
        signals.read_noises(tmp_path)
    with pytest.raises(ValueError, match="no such folder"):
        signals.read_noises(tmp_path / "none")
