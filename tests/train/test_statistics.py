"""Mel statistics: float64 sums, population variance, errors that say what to do."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch")

from stream.front_end.log_mel import streamed_log_mel
from tests.tiny import tiny_network
from train.config.run import ConfigError
from train.statistics import Statistics, measure, read_statistics


def test_they_are_mean_and_population_variance_over_all_frames() -> None:
    rng = np.random.default_rng(0)
    frames = rng.normal(-14.0, 3.0, (1000, 80)).astype(np.float32)
    statistics = Statistics()
    for piece in np.array_split(frames, 7):
        statistics.add(piece)
    mean, variance = statistics.result()
    assert statistics.frames == 1000
    assert mean.dtype == variance.dtype == np.float32
    np.testing.assert_allclose(mean, frames.astype(np.float64).mean(0), rtol=1e-6)
    np.testing.assert_allclose(variance, frames.astype(np.float64).var(0), rtol=1e-5)


def test_recordings_are_measured_as_streams_compute_them() -> None:
    rng = np.random.default_rng(0)
    audio = [0.1 * rng.standard_normal(n, np.float32) for n in (5000, 16000)]
    front_end = tiny_network().specification.front_end
    frames = np.concatenate([streamed_log_mel(a[None], front_end)[0] for a in audio])
    mean, _ = measure(audio, front_end).result()
    np.testing.assert_allclose(mean, frames.astype(np.float64).mean(0), rtol=1e-6)


def test_no_audio_or_only_silence_is_an_error() -> None:
    front_end = tiny_network().specification.front_end
    with pytest.raises(ValueError, match="not one frame"):
        measure([], front_end).result()
    with pytest.raises(ValueError, match="bin 0 never changes"):
        measure([np.zeros(16000, np.float32)], front_end).result()


def test_a_file_is_read_back_and_a_wrong_one_is_named(tmp_path: Path) -> None:
    path = tmp_path / "s.npz"
    with pytest.raises(ConfigError, match="rill statistics"):
        read_statistics(path)
    np.savez(path, mean=np.arange(80, dtype=np.float32), variance=np.ones(80, np.float32))
    mean, variance = read_statistics(path)
    assert mean[3] == 3.0
    assert variance.sum() == 80.0
    np.savez(path, mean=mean)
    with pytest.raises(ConfigError, match="holds no mel statistics"):
        read_statistics(path)
    path.write_bytes(b"PK\x03\x04")
    with pytest.raises(ConfigError, match="s.npz"):
        read_statistics(path)
