"""Plot the WER of a run's checkpoints over the updates. Needs matplotlib."""

from __future__ import annotations

from pathlib import Path

from matplotlib.ticker import MaxNLocator

from stream.plot import INK, bare, plotting
from train.checkpoints.selection import Sweep

COLOURS = {"soft": "#0b3954", "hard": "#087e8b", "int8": "#d9622b"}


def draw(sweep: Sweep, path: Path) -> None:
    """Draw a sweep: a line for each arithmetic, the best checkpoint marked.

    Args:
        sweep: its scores are in the order of their updates.
        path: `.svg` or `.png`.
    """
    title = f"{sweep.run}: WER on {Path(sweep.manifest).name}"
    with plotting(path, title, 4.4) as figure:
        axes = figure.subplots()
        for arithmetic in sweep.arithmetics:
            points = {
                score.update: 100 * wer  # files of the same update have the same weights
                for score in sweep.scores
                if (wer := score.wer.get(arithmetic)) is not None
            }
            axes.plot(
                list(points), list(points.values()), color=COLOURS.get(arithmetic, INK),
                linewidth=2, marker="o", markersize=4, label=arithmetic,
            )  # fmt: skip
        for score in sweep.scores:
            wer = score.wer.get(sweep.arithmetics[-1])
            if score.file == sweep.best and wer is not None:
                axes.plot(
                    [score.update], [100 * wer], marker="o", markersize=12, fillstyle="none",
                    color=COLOURS.get(sweep.arithmetics[-1], INK), markeredgewidth=1.6,
                )  # fmt: skip
                axes.set_title(
                    f"start from {score.file}: {100 * wer:.2f} %", loc="left", fontsize=10.0
                )
        axes.margins(x=0.08, y=0.2)
        axes.set_xlabel("update")
        axes.set_ylabel("WER, %")
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        bare(axes)
        axes.legend(loc="upper right", frameon=False, ncols=3)
