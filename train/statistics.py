"""Mean and variance of log-mel over a training set.

NUMERICS 2.5: float64 sums over un-normalised, un-augmented frames, population variance, stored as
float32. Where a stream's running statistics start.
"""

from __future__ import annotations

import zipfile
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from hwckpt.conversion import read_statistics as read_tensors
from stream.errors import InputError
from stream.files.atomic import replacing
from stream.front_end.log_mel import BINS, FrontEnd, streamed_log_mel
from train.config.run import ConfigError

LEAST_VARIANCE = 1e-6  # nats squared; what rounding leaves of a constant bin is far below it


class Statistics:
    """Running sums of log-mel frames."""

    def __init__(self) -> None:
        self.frames = 0
        self._sum = np.zeros(BINS)
        self._squares = np.zeros(BINS)

    def add(self, frames: NDArray[np.float32]) -> None:
        """Count frames, (F, 80)."""
        wide = frames.astype(np.float64)
        self.frames += len(wide)
        self._sum += wide.sum(axis=0)
        self._squares += (wide * wide).sum(axis=0)

    def result(self) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Return mean and population variance, each (80,) float32.

        Raises:
            InputError: there were no frames, or a bin never changed.
        """
        if not self.frames:
            raise InputError("mel statistics: not one frame of audio")
        mean = self._sum / self.frames
        variance = (self._squares / self.frames - mean * mean).astype(np.float32)
        if not (variance > LEAST_VARIANCE).all():
            raise InputError(f"mel statistics: bin {int(np.argmin(variance))} never changes")
        return mean.astype(np.float32), variance


def measure(audio: Iterable[NDArray[np.float32]], front_end: FrontEnd) -> Statistics:
    """Measure recordings, each (samples,) float32 at 16 kHz, without the silence that is added at their ends.

    Of filters that will be learned the statistics are those of the bank that they begin as.
    """
    front_end = replace(front_end, final_padding=0, learned=False)
    statistics = Statistics()
    for samples in audio:
        statistics.add(streamed_log_mel(samples[None], front_end)[0])
    return statistics


def write_statistics(statistics: Statistics, path: Path) -> None:
    """Write the mean and the variance of what was measured, with the number of its frames."""
    mean, variance = statistics.result()
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path) as partial, partial.open("wb") as file:
        np.savez(file, mean=mean, variance=variance, frames=statistics.frames)


def read_statistics(path: Path) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Read mean and variance, each (80,) float32, from a file of ours or from a folder of Myrtle's.

    Args:
        path: of the file, or of the folder that holds melmeans.pt and melvars.pt.
    Raises:
        ConfigError: there is no such file, or it holds something else.
        CheckpointError: melmeans.pt or melvars.pt is not a float32 tensor of 80.
    """
    if path.is_dir():
        return read_tensors(path)
    if not path.exists():
        raise ConfigError(
            f"data.statistics: no {path}. Make it: rill statistics, or leave the key out: then "
            "the run measures them"
        )
    try:
        with path.open("rb") as raw, np.load(raw, allow_pickle=False) as file:
            mean, variance = file["mean"], file["variance"]
        for name, value in (("mean", mean), ("variance", variance)):
            if value.shape != (BINS,) or value.dtype != np.float32 or not np.isfinite(value).all():
                raise ValueError(f"{name} wants {BINS} finite float32 numbers")
        if not (variance > 0.0).all():
            raise ValueError("variance wants numbers above 0")
        return mean, variance
    except (ValueError, KeyError, TypeError, OSError, EOFError, zipfile.BadZipFile) as error:
        raise ConfigError(f"data.statistics: {path} holds no mel statistics: {error}") from error
