"""A live view of a run: where it is, how it learns, what it heard last.

On a terminal it is redrawn in place; elsewhere, in a file or a pipe, it prints plain lines.
"""

from __future__ import annotations

import math
import sys
import time
from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from rich.console import Console
from rich.live import Live
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.table import Table
from rich.text import Text

BARS = "▁▂▃▄▅▆▇█"
RECENT = 960  # updates whose loss is drawn
PLAIN_SECONDS = 10.0  # between lines where there is no terminal
SCORES, SAID = 6, 4  # lines of validations, and of other things, that stay on a terminal


@dataclass(frozen=True)
class Progressed:
    """What is shown of an update.

    Attributes:
        update: its number.
        loss: nats per row of the batch; per_token: nats per token, which is drawn as a curve, since
            rows get longer in a run that joins clips.
        rate: of learning; norm: of the gradient.
        speed: seconds of audio learned in a second.
        waited: share of the time in which the update waited for data.
        hours: of audio learned from so far; epoch: passes through the corpus, None: not known.
        skipped_updates, skipped_utterances: so far.
        memory: of the process, GB.
    """

    update: int
    loss: float
    per_token: float
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
        return f"loss {self.loss:.3f}, {self.per_token:.3f} a token   rate {self.rate:.2e}   gradient {self.norm:.2g}"

    def speed_line(self) -> str:
        """Return how fast it learns, and of what it has learned."""
        epoch = "" if self.epoch is None else f"   epoch {self.epoch:.2f}"
        return (
            f"{self.speed:.0f} s of audio a second   waiting for data {100 * self.waited:.0f} %   "
            f"{self.hours:.1f} h heard{epoch}"
        )

    def faults(self) -> str:
        """Return what was skipped, or ""."""
        counts = (
            ("update" + "s" * (self.skipped_updates != 1), self.skipped_updates),
            ("utterance" + "s" * (self.skipped_utterances != 1), self.skipped_utterances),
        )
        found = " and ".join(f"{count} {name}" for name, count in counts if count)
        return f"skipped: {found}" if found else ""


@dataclass(frozen=True)
class Validated:
    """What is shown of a validation, in one activation or by one head.

    Attributes:
        update: after which it was; scored: the activation, or a head beside the one that the run is judged by.
        wer: of `all` and by corpus, fractions.
        errors: substitutions, deletions, insertions, fractions of the words.
        best: whether no WER was lower before.
        loss: on dev; late: emission latency, median and 90th percentile, ms; None: not measured.
    """

    update: int
    scored: str
    wer: Mapping[str, float]
    errors: Mapping[str, float]
    best: bool
    loss: float | None = None
    late: tuple[float, float] | None = None

    def line(self) -> str:
        """Return it as a line of text."""
        wer = ", ".join(f"{corpus} {percent(wer)}" for corpus, wer in self.wer.items())
        errors = ", ".join(f"{name[0].upper()} {percent(e)}" for name, e in self.errors.items())
        parts = [f"update {self.update}", f"{self.scored} WER %: {wer} ({errors})"]
        if self.best:
            parts.append("best")
        if self.loss is not None:
            parts.append(f"loss {self.loss:.3f}")
        if self.late is not None:
            parts.append("words {:.0f} ms late, p90 {:.0f}".format(*self.late))
        return "   ".join(parts)

    def cells(self) -> dict[str, str]:
        """Return it as a row of a table, by the names of the columns."""
        named = {"update": str(self.update), "": self.scored, "WER %": percent(self.wer["all"])}
        named |= {corpus: percent(wer) for corpus, wer in self.wer.items() if corpus != "all"}
        named |= {name[:3]: percent(share) for name, share in self.errors.items()}
        named["loss"] = "" if self.loss is None else f"{self.loss:.3f}"
        named["late ms"], named["p90"] = (
            ("", "") if self.late is None else (f"{each:.0f}" for each in self.late)
        )
        return named | {" ": "best" if self.best else ""}


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
        self._losses: deque[float] = deque(maxlen=RECENT)  # per token
        self._wers: list[float] = []  # of each validation
        self._scores: deque[Validated] = deque(maxlen=SCORES)
        self._said: deque[str] = deque(maxlen=SAID)
        self._heard: tuple[str, str] | None = None
        self._last: Progressed | None = None
        self._doing = ""
        self._printed = time.monotonic()
        self._progress = Progress(
            TextColumn(name, markup=False),
            BarColumn(None),
            TextColumn("{task.completed}/{task.total}"),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
            TextColumn("left"),
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

    def begin(self, losses: Iterable[float], wers: Iterable[float]) -> None:
        """Take the curves of what the run did before: losses per token, and dev WERs."""
        self._losses.extend(losses)
        self._wers += [min(wer, 1.0) for wer in wers]

    def update(self, progressed: Progressed) -> None:
        """Show an update."""
        self._last, self._doing = progressed, ""
        self._losses.append(progressed.per_token)
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

    def validated(self, scores: Sequence[Validated], sample: tuple[str, str] | None = None) -> None:
        """Show a validation.

        Args:
            scores: by activation, the run's own first, whose WER is part of the curve.
            sample: what was said and what was heard.
        """
        self._doing = ""
        self._wers.append(min(scores[0].wer["all"], 1.0))
        self._heard = sample or self._heard
        self._scores.extend(scores)
        if self._live:
            self._live.update(self._draw())
        else:
            for score in scores:
                self._print(score.line())

    def say(self, line: str) -> None:
        """Show a line that stays, such as a warning."""
        if self._live:
            self._said.append(line)
            self._live.update(self._draw())
        else:
            self._print(line)

    def _print(self, line: str) -> None:
        print(line, file=sys.stderr, flush=True)

    def _draw(self) -> Table:
        table = Table.grid(expand=True)
        for line in self._said:
            table.add_row(Text(line, "yellow"))
        if self._scores:
            table.add_row(self._table())
        if self._heard is not None:
            for name, text in zip(("said ", "heard"), self._heard, strict=True):
                table.add_row(
                    Text.assemble((f"{name}  ", "dim"), text, overflow="ellipsis", no_wrap=True)
                )
        table.add_row(self._progress)
        if (last := self._last) is not None:
            # Logarithms, since the first losses are far above the rest; penalties may make one negative.
            curve = sparkline([math.log(loss) for loss in self._losses if loss > 0.0], 40)
            table.add_row(Text.assemble(f"{last.loss_line()}   ", (curve, "cyan")))
            if self._wers:
                row = [f"WER {percent(self._wers[-1])} %, best {percent(min(self._wers))} %   "]
                table.add_row(Text.assemble(*row, (sparkline(self._wers, 40), "green")))
            memory = f"   {last.memory:.1f} GB" if last.memory else ""
            faults = f"   {last.faults()}" if last.faults() else ""
            table.add_row(Text.assemble(last.speed_line(), memory, (faults, "yellow")))
        if self._doing:
            table.add_row(Text(self._doing, "dim"))
        return table

    def _table(self) -> Table:
        rows = [score.cells() for score in self._scores]
        table = Table(box=None, pad_edge=False, header_style="dim")
        for name in rows[-1]:
            table.add_column(name, justify="left" if not name.strip() else "right", no_wrap=True)
        for row in rows:
            table.add_row(*row.values(), style="green" if row[" "] else "")
        return table


def _clock(seconds: float) -> str:
    minutes, seconds = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{seconds:02}"
