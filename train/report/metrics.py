"""The metrics of a run that is going on or has ended, read from its metrics.jsonl as curves."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from stream.errors import InputError
from train.report.display import percent
from train.report.journal import lines

SMOOTHED = 60  # points of a curve of the loss, each the mean of the updates around it


@dataclass(frozen=True)
class Curve:
    """Values over updates: updates, (n,) int64, and values, (n,) float64, NaN where there is none."""

    updates: np.ndarray[Any, np.dtype[np.int64]]
    values: np.ndarray[Any, np.dtype[np.float64]]

    def smooth(self) -> Curve:
        """Return the curve as means of neighbours, about `SMOOTHED` points."""
        share = max(1, len(self.values) // SMOOTHED)
        whole = len(self.values) // share * share
        values = self.values[:whole].reshape(-1, share).mean(1)
        return Curve(self.updates[:whole].reshape(-1, share)[:, -1], values)


@dataclass(frozen=True)
class Metrics:
    """The lines of a run's metrics.jsonl."""

    name: str
    entries: list[dict[str, Any]]

    @classmethod
    def read(cls, folder: Path) -> Metrics:
        """Read those of a run's folder.

        Raises:
            InputError: there are none.
        """
        metrics = cls.written(folder)
        if not metrics.entries:
            raise InputError(f"{folder}: no metrics in metrics.jsonl; name the folder of a run")
        return metrics

    @classmethod
    def written(cls, folder: Path) -> Metrics:
        """Read those of a run's folder, which may not have any yet."""
        entries = [msgspec.json.decode(line) for line in lines(folder / "metrics.jsonl")]
        return cls(folder.resolve().name, entries)

    def curve(self, *path: str) -> Curve:
        """Return the values of a name, or of a name within others; null is NaN."""
        updates: list[int] = []
        values: list[float] = []
        for entry in self.entries:
            value: Any = entry
            for name in path:
                value = value.get(name) if isinstance(value, dict) and name in value else ...
            if value is not ...:
                updates.append(entry["update"])
                values.append(math.nan if value is None else float(value))
        return Curve(np.array(updates, np.int64), np.array(values, np.float64))

    def summary(self) -> str:
        """Return where the run stands, in a line."""
        parts = [f"{self.name}: update {self.entries[-1]['update']}"]
        if hours := self.curve("hours").values.tolist():
            parts.append(f"{hours[-1]:.1f} h heard")
        for scored in self.scored():
            wer = self.curve("wer", scored, "all")
            least = int(wer.values.argmin())
            parts.append(
                f"{scored} WER {percent(float(wer.values[-1]))} %, lowest "
                f"{percent(float(wer.values[least]))} % after {wer.updates[least]}"
            )
        return ", ".join(parts)

    def scored(self) -> list[str]:
        """Return what was scored: activations, the run's own first, and heads."""
        return list(next((entry["wer"] for entry in self.entries if "wer" in entry), {}))


def read_runs(folders: Sequence[Path]) -> list[Metrics]:
    """Read those of several runs, each named by as much of its path as tells it from the others.

    Raises:
        InputError: a folder has none.
    """
    paths = [folder.resolve().parts for folder in folders]

    def name(path: tuple[str, ...]) -> str:
        for depth in range(1, len(path)):
            if sum(other[-depth:] == path[-depth:] for other in paths) == 1:
                return "/".join(path[-depth:])
        return str(Path(*path))

    runs = [Metrics.read(folder) for folder in folders]
    return [replace(run, name=name(path)) for run, path in zip(runs, paths, strict=True)]
