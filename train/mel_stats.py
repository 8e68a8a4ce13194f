"""Mean and variance of log-mel over a training set: `python -m train.mel_stats`.

NUMERICS 2.5: float64 sums over un-normalised, un-augmented frames, population variance, stored as
float32. Where a stream's running statistics start.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from stream.audio import AudioError, read_audio
from stream.features import BINS, FrontEnd, streamed_log_mel
from stream.manifest import ManifestError, read_manifest
from train.config import ConfigError, load_config, resolve

__all__ = ["Statistics", "read_statistics"]


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
            ValueError: there were no frames, or a bin never changed.
        """
        if not self.frames:
            raise ValueError("mel statistics: not one frame of audio")
        mean = self._sum / self.frames
        variance = (self._squares / self.frames - mean * mean).astype(np.float32)
        if not (variance > 0.0).all():
            raise ValueError(f"mel statistics: bin {int(np.argmin(variance))} never changes")
        return mean.astype(np.float32), variance


def measure(audio: Iterable[NDArray[np.float32]], front_end: FrontEnd) -> Statistics:
    """Measure recordings, each (samples,) float32 at 16 kHz."""
    statistics = Statistics()
    for samples in audio:
        statistics.add(streamed_log_mel(samples[None], front_end)[0])
    return statistics


def read_statistics(path: Path) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Read mean and variance, each (80,) float32.

    Raises:
        ConfigError: there is no such file, or it holds something else.
    """
    if not path.exists():
        raise ConfigError(f"data.statistics: no {path}. Make it: python -m train.mel_stats")
    try:
        with np.load(path, allow_pickle=False) as file:
            return file["mean"], file["variance"]
    except (ValueError, KeyError, OSError) as error:
        raise ConfigError(f"data.statistics: {path} holds no mel statistics: {error}") from error


def build_parser() -> argparse.ArgumentParser:
    """Return the parser of `python -m train.mel_stats`."""
    parser = argparse.ArgumentParser(
        prog="python -m train.mel_stats",
        description="Measure the log-mel statistics of a configuration's training set.",
        epilog="example: python -m train.mel_stats --config configs/en-commands.toml",
        allow_abbrev=False,
    )
    parser.add_argument("--config", required=True, metavar="TOML", help="configuration of the run")
    parser.add_argument(
        "--output",
        metavar="NPZ",
        help="file to write (default: the configuration's data.statistics)",
    )
    return parser


def main(argv: list[str] | None = None) -> int:
    """Run the command; returns its exit code."""
    arguments = build_parser().parse_args(argv)
    try:
        config = load_config(arguments.config)
        output = Path(arguments.output) if arguments.output else resolve(config.data.statistics)
        utterances = [u for name in config.data.train for u in read_manifest(resolve(name))]
        front_end = config.specification(1).front_end
        statistics = measure((read_audio(u.audio) for u in utterances), front_end)
        mean, variance = statistics.result()
    except ConfigError as error:
        print(error, file=sys.stderr)
        return 2
    except (ManifestError, AudioError, ValueError) as error:
        print(error, file=sys.stderr)
        return 3
    output.parent.mkdir(parents=True, exist_ok=True)
    partial = output.with_suffix(".partial.npz")
    np.savez(partial, mean=mean, variance=variance, frames=statistics.frames)
    partial.replace(output)
    print(f"{output}: {statistics.frames} frames of {len(utterances)} utterances")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
