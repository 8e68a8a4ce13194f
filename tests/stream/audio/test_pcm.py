from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from stream.audio import AudioError, Resampler
from stream.audio.pcm import read_pcm
from stream.errors import ArgumentError

SAMPLES = np.arange(-3000, 3000, dtype=np.int16)


def test_samples_of_16_khz_pass_and_a_single_byte_at_the_end_is_ignored(tmp_path: Path) -> None:
    path = tmp_path / "a.raw"
    path.write_bytes(SAMPLES.astype("<i2").tobytes() + b"\1")
    got = np.concatenate(list(read_pcm(path, 16000)))
    assert got.dtype == np.float32
    assert np.array_equal(got, SAMPLES / np.float32(32768))


def test_another_rate_is_resampled_as_one_piece(tmp_path: Path) -> None:
    path = tmp_path / "a.raw"
    path.write_bytes(SAMPLES.astype("<i2").tobytes())
    resampler = Resampler(8000)
    want = np.concatenate([resampler.push(SAMPLES), resampler.finish()])
    assert np.allclose(np.concatenate(list(read_pcm(path, 8000))), want, atol=1e-6)


def test_what_cannot_be_read_is_named(tmp_path: Path) -> None:
    (tmp_path / "empty").touch()
    with pytest.raises(AudioError, match="empty: holds no sample"):
        list(read_pcm(tmp_path / "empty", 16000))
    with pytest.raises(AudioError, match="none: cannot be read: No such file"):
        list(read_pcm(tmp_path / "none", 16000))
    with pytest.raises(ArgumentError, match="a rate of 1 Hz; want 4000 to 384000"):
        list(read_pcm(tmp_path / "empty", 1))
