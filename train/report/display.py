"""Progress of a training run: a live line with the loss as a curve, and files for machines.

`Journal` writes metrics as JSON lines and for TensorBoard, and cuts off what a killed run wrote after
the checkpoint that is resumed. `Display` draws on a terminal; elsewhere it prints plain lines.
"""

from __future__ import annotations

import os
import sys
import time
from collections import deque
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
from rich.console import Console
from rich.live import Live
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table
from torch.utils.tensorboard.writer import SummaryWriter

from stream.files.atomic import replace_file

__all__ = ["Display", "Journal", "sparkline"]

BARS = "▁▂▃▄▅▆▇█"


def sparkline(values: list[float], width: int = 48) -> str:
    """Draw values as a line of `width` bars at most, each the mean of its share."""
    if not values:
        return ""
    share = max(1, -(-len(values) // width))
    means = [
        sum(values[i : i + share]) / len(values[i : i + share])
        for i in range(0, len(values), share)
    ]
    low, high = min(means), max(means)
    scale = (len(BARS) - 1) / (high - low) if high > low else 0.0
    return "".join(BARS[round((mean - low) * scale)] for mean in means)


class Journal:
    """Metrics of a run: `metrics.jsonl` and TensorBoard events in its folder.

    Args:
        folder: of the run.
        update: the update that is resumed from; later lines are cut off.
    """

    def __init__(self, folder: Path, update: int) -> None:
        path = folder / "metrics.jsonl"
        replace_file(path, b"".join(_lines_until(path, update)))  # never a moment without it
        self._file = path.open("ab", buffering=0)
        self._events = SummaryWriter(str(folder / "events"), purge_step=update + 1)

    def write(self, update: int, **values: Any) -> None:
        """Record the values of an update, numbers or dictionaries of numbers."""
        line = {"schema": "rill.metrics/1", "update": update, **values}
        self._file.write(msgspec.json.encode(line) + b"\n")
        for name, value in _flat(values):
            self._events.add_scalar(name, value, update)

    def sync(self) -> None:
        """Have all lines on disk, before a checkpoint that they belong to is."""
        os.fsync(self._file.fileno())
        self._events.flush()

    def close(self) -> None:
        """Close both files."""
        self._file.close()
        self._events.close()


class Display:
    """A live view of a run on standard error."""

    def __init__(self, name: str, updates: int, start: int) -> None:
        self._console = Console(stderr=True)
        self._live: Live | None = None
        self._losses: deque[float] = deque(maxlen=960)
        self._scores: deque[str] = deque(maxlen=8)
        self._line = ""
        self._printed = time.monotonic()
        self._progress = Progress(
            TextColumn(name),
            BarColumn(None),
            TextColumn("{task.completed}/{task.total}"),
            TimeRemainingColumn(),
            console=self._console,
        )
        self._task = self._progress.add_task(name, total=updates, completed=start)

    def __enter__(self) -> Display:
        if self._console.is_terminal:
            self._live = Live(self._draw(), console=self._console, refresh_per_second=4)
            self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._live:
            self._live.stop()

    def update(self, update: int, loss: float, rate: float, speed: float) -> None:
        """Show an update: its loss, learning rate, and seconds of audio learned in a second."""
        self._losses.append(loss)
        self._progress.update(self._task, completed=update)
        self._line = f"loss {loss:7.3f}   rate {rate:.2e}   {speed:5.0f} x real time"
        if self._live:
            self._live.update(self._draw())
        elif time.monotonic() - self._printed > 10.0:
            self._printed = time.monotonic()
            print(f"update {update}   {self._line}", file=sys.stderr, flush=True)

    def say(self, line: str) -> None:
        """Show a line that stays: a validation, a checkpoint."""
        if self._live:
            self._scores.append(line)
            self._live.update(self._draw())
        else:
            print(line, file=sys.stderr, flush=True)

    def _draw(self) -> Table:
        table = Table.grid(expand=True)
        for line in self._scores:
            table.add_row(line)
        table.add_row(self._progress)
        table.add_row(f"{self._line}   {sparkline(list(self._losses))}")
        return table


def _lines_until(path: Path, update: int) -> Iterator[bytes]:
    """Yield the lines of a journal up to an update, without those that a kill cut short."""
    for line in path.read_bytes().splitlines() if path.exists() else ():
        try:
            if msgspec.json.decode(line)["update"] <= update:
                yield line + b"\n"
        except (msgspec.DecodeError, KeyError, TypeError):
            continue


def _flat(values: dict[str, Any], prefix: str = "") -> list[tuple[str, float]]:
    flat: list[tuple[str, float]] = []
    for name, value in values.items():
        if isinstance(value, dict):
            flat += _flat(value, f"{prefix}{name}/")
        elif isinstance(value, (int, float)):
            flat.append((prefix + name, float(value)))
    return flat
