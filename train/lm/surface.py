"""Draw the word error rate over alpha and beta. Needs matplotlib."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.tri import Triangulation

from stream.plot import INK, bare, plotting
from stream.stage import Floats
from train.lm.trials import ALPHA, BETA, FUSION, Trial, best_of

BEST = "#d9622b"
GOOD_TO_BAD = LinearSegmentedColormap.from_list("", ["#0b3954", "#087e8b", "#bfd7d5", "#f6f1e7"])
LEVELS = 12
WORST = (
    90  # percentile of the error rates above which all are drawn alike: a bad corner hides the rest
)


def draw(trials: Sequence[Trial], title: str, path: Path) -> None:
    """Draw the trials: points of alpha and beta, coloured by the error rate between them.

    Where other parameters were searched as well, the points alone are drawn, since what lies between them is not
    theirs alone. Where beta was not searched, it is a curve.

    Args:
        path: `.svg` or `.png`.
    """
    best = best_of(trials)
    alpha = np.array([trial.values.get(ALPHA, 0.0) for trial in trials])
    beta = np.array([trial.values.get(BETA, 0.0) for trial in trials])
    wer = 100 * np.array([trial.words.wer for trial in trials])
    with plotting(path, title, 4.8) as figure:
        axes = figure.subplots()
        chosen = ", ".join(
            f"{name.replace('_', ' ')} {value:.3g}" for name, value in best.values.items()
        )
        axes.set_title(f"best: {chosen}: {100 * best.words.wer:.2f} %", loc="left", fontsize=10.0)
        axes.set_xlabel("weight, alpha")
        if np.ptp(beta) == 0.0:
            order = np.argsort(alpha, kind="stable")
            axes.plot(
                alpha[order], wer[order], color="#0b3954", linewidth=2, marker="o", markersize=4
            )
            axes.plot(
                best.values.get(ALPHA, 0.0), 100 * best.words.wer, "o", color=BEST, markersize=9
            )
            axes.set_ylabel("WER, %")
            bare(axes)
            return
        top = max(float(np.percentile(wer, WORST)), wer.min() + 1e-3)
        levels = np.linspace(wer.min(), top, LEVELS)
        between = _triangles(alpha, beta) if _is_surface(trials) else None
        if between is not None:
            axes.tricontourf(between, wer, levels=levels, cmap=GOOD_TO_BAD, extend="both")
        points = axes.scatter(
            alpha, beta, c=wer, cmap=GOOD_TO_BAD, vmin=levels[0], vmax=top, s=22, edgecolors=INK,
            linewidths=0.6, zorder=3, clip_on=False,
        )  # fmt: skip
        if between is not None:  # which has their colours
            axes.scatter(alpha, beta, s=14, color="white", linewidths=0, zorder=3, clip_on=False)
        axes.scatter(
            best.values.get(ALPHA, 0.0), best.values.get(BETA, 0.0), s=150, facecolors="none",
            edgecolors=BEST, linewidths=2.4, zorder=4, clip_on=False,
        )  # fmt: skip
        axes.set_ylabel("word bonus, beta")
        figure.colorbar(points, ax=axes, label="WER, %", extend="max")
        axes.spines[:].set_visible(False)
        axes.tick_params(length=0)


def _is_surface(trials: Sequence[Trial]) -> bool:
    """Return whether alpha and beta alone differ from trial to trial."""
    others = {
        tuple(
            sorted((name, value) for name, value in trial.values.items() if name not in FUSION[:2])
        )
        for trial in trials
    }
    return len(others) == 1


def _triangles(x: Floats, y: Floats) -> Triangulation | None:
    """Return triangles between points; None where they lie on a line."""
    if len(x) < 3 or np.linalg.matrix_rank(np.stack([x - x[0], y - y[0]])) < 2:
        return None
    return Triangulation(x, y)
