"""Plots in Rill's style, as SVG or PNG by the name of the file; nothing is shown on a screen.

matplotlib is an extra, and needed only to draw.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from stream.files.atomic import replacing

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

INK, FAINT = "#22303c", "#d8dee4"
STYLE: dict[Any, Any] = {
    "font.family": "sans-serif",
    "font.size": 10.5,
    "svg.fonttype": "path",  # looks the same wherever it is seen
    "svg.hashsalt": "rill",  # the same curve gives the same file
    "axes.edgecolor": FAINT,
    "axes.labelcolor": INK,
    "text.color": INK,
    "xtick.color": INK,
    "ytick.color": INK,
}


@contextmanager
def plotting(path: Path, title: str, height: float) -> Iterator[Figure]:
    """Yield a figure to draw on, and write it at the end of the block.

    Args:
        path: `.svg` or `.png`.
        title: of the whole figure.
        height: inches; the width is 8.
    """
    from matplotlib import rc_context
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    with rc_context(STYLE):
        figure = Figure(figsize=(8.0, height), layout="constrained")
        FigureCanvasAgg(figure)
        figure.suptitle(title, x=0.02, ha="left", fontsize=11.5, fontweight="bold")
        yield figure
        kind = path.suffix.removeprefix(".")
        metadata = {"Date": None} if kind == "svg" else {}
        with replacing(path) as partial:
            figure.savefig(partial, format=kind, dpi=160, metadata=metadata)


def bare(axes: Axes) -> None:
    """Leave of a curve's frame the axis below it, and faint lines across."""
    axes.grid(axis="y", color=FAINT, linewidth=0.8)
    axes.set_axisbelow(True)
    axes.spines[["top", "right", "left"]].set_visible(False)
    axes.tick_params(length=0)
