"""Pictures of runs: loss, word error rate, learning rate and emission latency over the updates.

Needs matplotlib.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import LogLocator, MaxNLocator, NullLocator, ScalarFormatter

from stream.plot import bare, plotting
from train.report.metrics import Curve, Metrics

COLOURS = ("#0b3954", "#d9622b", "#087e8b", "#8a5a99", "#5b7f2b", "#b0413e")


def draw(runs: Sequence[Metrics], path: Path) -> None:
    """Draw the curves of some runs, a colour for each.

    Args:
        path: `.svg` or `.png`.
    """
    with plotting(path, ", ".join(run.name for run in runs), 6.4) as figure:
        (loss, wer), (rate, latency) = figure.subplots(2, 2, sharex=True)
        per_token = all(len(run.curve("per_token").values) for run in runs)
        name = "per_token" if per_token else "loss"
        several = len(runs) > 1
        also = dict.fromkeys(each for run in runs for each in run.scored()[1:])
        for run, colour in zip(runs, _colours(runs), strict=True):
            label = run.name if several else "train"
            learned, dev = run.curve(name), run.curve("dev", name)
            loss.plot(learned.updates, learned.values, color=colour, linewidth=0.6, alpha=0.25)
            smooth = learned.smooth()
            loss.plot(smooth.updates, smooth.values, color=colour, linewidth=1.8, label=label)
            _line(loss, dev, colour, None if several else "dev", dashed=True)
            for i, scored in enumerate(run.scored()):
                shown = run.curve("wer", scored, "all")
                capped = Curve(shown.updates, np.minimum(100.0 * shown.values, 100.0))
                _line(wer, capped, colour, None if several else scored, dashed=i > 0)
            rates = run.curve("rate")
            rate.plot(rates.updates, rates.values, color=colour, linewidth=1.8)
            late = run.curve("emission_latency", "p90_ms")
            _line(
                latency,
                run.curve("emission_latency", "median_ms"),
                colour,
                None if several else "median",
            )
            _line(latency, late, colour, None if several else "90 %", dashed=True)
        for axes, title in (
            (loss, f"loss, nats per {'token' if per_token else 'row'} (dev dashed)"),
            (wer, "WER on dev, %" + _dashed(", ".join(also) if several else "")),
            (rate, "learning rate"),
            (latency, "emission latency, ms" + _dashed("90 %" if several else "")),
        ):
            bare(axes)
            axes.set_title(title, loc="left", fontsize=10.0)
            axes.xaxis.set_major_locator(MaxNLocator(5, integer=True))
            if not axes.lines:
                axes.set_yticks([])
            if axes.get_legend_handles_labels()[0]:
                axes.legend(frameon=False, fontsize=9.0)
        for axes in (wer, rate):
            axes.set_ylim(bottom=0.0)
        if all(
            (np.asarray(line.get_ydata()) > 0.0).all() for line in loss.lines
        ):  # a penalty may lower it
            loss.set_yscale("log")  # the first updates are far above the rest
            loss.yaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
            loss.yaxis.set_major_formatter(ScalarFormatter())
            loss.yaxis.set_minor_locator(NullLocator())
        for axes in (rate, latency):
            axes.set_xlabel("update")


def _line(
    axes: Axes, curve: Curve, colour: str, label: str | None, *, dashed: bool = False
) -> None:
    if not len(curve.values):
        return
    axes.plot(
        curve.updates, curve.values, color=colour, linewidth=1.8, marker="o", markersize=3.5,
        linestyle="--" if dashed else "-", label=label,
    )  # fmt: skip


def _dashed(what: str) -> str:
    """Return the part of a title that says what is dashed; the legend names runs where there are several."""
    return f" ({what} dashed)" if what else ""


def _colours(runs: Sequence[Metrics]) -> list[str]:
    return [COLOURS[i % len(COLOURS)] for i in range(len(runs))]
