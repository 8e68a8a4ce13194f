"""A live view of a run: where it is, how it learns, what it heard last.

On a terminal it is redrawn in place; elsewhere, in a file or a pipe, it prints plain lines.
"""

from __future__ import annotations

import math
import sys
import time
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass

from rich.console import Console
from rich.live import Live
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.table import Table
from rich.text import Text

BARS = "▁▂▃▄▅▆▇█"
PLAIN_SECONDS = 10.0  # between lines where there is no terminal
SCORES = 6  # validations that stay on a terminal


@dataclass(frozen=True)
class Progressed:
    """What is shown of an update.

    Attributes:
        update: its number.
        loss: nats per utterance; rate: of learning; norm: of the gradient.
        speed: seconds of audio learned in a second.
        waited: share of the time in which the update waited for data.
        hours: of audio learned from so far; epoch: passes through the corpus, None: not known.
        skipped_updates, skipped_utterances: so far.
        memory: of the process, GB.
    """

    update: int
    loss: float
    rate: float
    norm: float
    speed: float
    waited: float
    hours: float
    epoch: float | None = None
    skipped_updates: int = 0
    skipped_utterances: int = 0
    memory: float = 0.0

    def loss_line(self) -> str:
        """Return how it learns."""
        return f"loss {self.loss:7.3f}   rate {self.rate:.2e}   gradient {self.norm:.2g}"

    def speed_line(self) -> str:
        """Return how fast it learns, and of what it has learned."""
        epoch = "" if self.epoch is None else f"   epoch {self.epoch:.2f}"
        return (
            f"{self.speed:.0f} s of audio a second   waiting for data {100 * self.waited:.0f} %   "
            f"{self.hours:.1f} h heard{epoch}"
        )

    def faults(self) -> str:
        """Return what was skipped, or ""."""
        counts = (("updates", self.skipped_updates), ("utterances", self.skipped_utterances))
        return ", ".join(f"{count} {name} skipped" for name, count in counts if count)


def percent(share: float) -> str:
    """Return an error rate in per cent; above 1 its figure says nothing, as at the start of a run."""
    return f"{100 * share:.1f}" if share <= 1.0 else ">100"


def sparkline(values: Sequence[float], width: int = 48) -> str:
    """Draw values as a line of `width` bars at most, each the mean of its share; those not finite are left out."""
    values = [value for value in values if math.isfinite(value)]
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


class Display:
    """A live view of a run on standard error.

    Args:
        name: of the run.
        updates: its length.
        start: the update that it goes on from.
    """

    def __init__(self, name: str, updates: int, start: int) -> None:
        self._console = Console(stderr=True)
        self._live: Live | None = None
        self._updates = updates
        self._losses: deque[float] = deque(maxlen=960)
        self._rates: list[float] = []  # WER of each validation
        self._scores: deque[str] = deque(maxlen=SCORES)
        self._heard: tuple[str, str] | None = None
        self._last: Progressed | None = None
        self._doing = ""
        self._printed = time.monotonic()
        self._progress = Progress(
            TextColumn(name, markup=False),
            BarColumn(None),
            TextColumn("{task.completed}/{task.total}"),
            TimeElapsedColumn(),
            TextColumn("left"),
            TimeRemainingColumn(elapsed_when_finished=False),
            console=self._console,
            speed_estimate_period=300.0,  # with a validation now and then
        )
        self._task = self._progress.add_task(name, total=updates, completed=start)

    def __enter__(self) -> Display:
        if self._console.is_terminal:
            self._live = Live(self._draw(), console=self._console, refresh_per_second=4)
            self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._live:
            self._live.update(self._draw())
            self._live.stop()

    def update(self, progressed: Progressed) -> None:
        """Show an update."""
        self._last, self._doing = progressed, ""
        self._losses.append(progressed.loss)
        self._progress.update(self._task, completed=progressed.update)
        if self._live:
            self._live.update(self._draw())
        elif time.monotonic() - self._printed > PLAIN_SECONDS:
            self._printed = time.monotonic()
            left = self._progress.tasks[0].time_remaining
            parts = [
                f"update {progressed.update}/{self._updates}",
                progressed.loss_line(),
                progressed.speed_line(),
                progressed.faults(),
                "" if left is None else f"{_clock(left)} left",
            ]
            self._print("   ".join(part for part in parts if part))

    def doing(self, what: str) -> None:
        """Show what takes a while, until the next update."""
        self._doing = what
        if self._live:
            self._live.update(self._draw())

    def validated(
        self, line: str, wer: float, said: str | None = None, heard: str | None = None
    ) -> None:
        """Show a validation: a line that stays, its WER as part of a curve, and a sample of it."""
        self._rates.append(min(wer, 1.0))
        if said is not None and heard is not None:
            self._heard = said, heard
        self.say(line)

    def say(self, line: str) -> None:
        """Show a line that stays: a validation, a warning."""
        if self._live:
            self._scores.append(line)
            self._live.update(self._draw())
        else:
            self._print(line)

    def _print(self, line: str) -> None:
        print(line, file=sys.stderr, flush=True)

    def _draw(self) -> Table:
        table = Table.grid(expand=True)
        for line in self._scores:
            table.add_row(Text(line, overflow="ellipsis"))
        if self._heard is not None:
            for name, text in zip(("said ", "heard"), self._heard, strict=True):
                table.add_row(
                    Text.assemble((f"{name}  ", "dim"), text, overflow="ellipsis", no_wrap=True)
                )
        table.add_row(self._progress)
        if (last := self._last) is not None:
            curve = sparkline(list(self._losses), 40)
            table.add_row(Text.assemble(f"{last.loss_line()}   ", (curve, "cyan")))
            if self._rates:
                row = [f"WER {percent(self._rates[-1])} %, best {percent(min(self._rates))} %   "]
                table.add_row(Text.assemble(*row, (sparkline(self._rates, 40), "green")))
            memory = f"   {last.memory:.1f} GB" if last.memory else ""
            faults = f"   {last.faults()}" if last.faults() else ""
            table.add_row(Text.assemble(last.speed_line(), memory, (faults, "yellow")))
        if self._doing:
            table.add_row(Text(self._doing, "dim"))
        return table


def _clock(seconds: float) -> str:
    minutes, seconds = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{seconds:02}"
