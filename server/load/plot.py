"""Plot latency and CPU over the number of streams. Needs matplotlib."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter, MaxNLocator, NullLocator

from server.load.point import Point
from stream.plot import bare, plotting

LIMIT = "#c0392b"
LINES = (
    ("cl99_ms", "CL99", "#0b3954"),
    ("cl90_ms", "CL90", "#087e8b"),
    ("cl50_ms", "CL50", "#6cc4cc"),
)
CORES = (("server_cpu", "server", "#0b3954"), ("client_cpu", "load client", "#f2a541"))


def draw(
    points: Sequence[Point], path: Path, *, rts: int | None, cl99_ms: float | None, title: str
) -> None:
    """Draw a curve.

    Args:
        points: in the order of their streams; those without a latency are left out.
        path: `.svg` or `.png`.
        rts: marked, where it is known.
        cl99_ms: the limit, where there is one.
        title: what was measured, where and when.
    """
    points = [point for point in points if point.cl99_ms is not None]
    with plotting(path, title, 5.2) as figure:
        above, below = figure.subplots(2, 1, sharex=True, height_ratios=(2.4, 1.0))
        _latency(above, points, cl99_ms)
        _cores(below, points)
        if rts:
            for axes in (above, below):
                axes.axvline(rts, color=LIMIT, linewidth=1.0, linestyle=(0, (1, 2)), zorder=1)
            above.annotate(
                f"{rts} streams",
                (rts, 1.0),
                xycoords=("data", "axes fraction"),
                xytext=(-6, -4),
                textcoords="offset points",
                ha="right",
                va="top",
                color=LIMIT,
                fontweight="bold",
            )


def _latency(axes: Axes, points: Sequence[Point], cl99_ms: float | None) -> None:
    streams = [point.streams for point in points]
    for name, label, colour in LINES:
        values = [getattr(point, name) for point in points]
        axes.plot(streams, values, color=colour, linewidth=2, marker="o", markersize=4, label=label)
    axes.set_yscale("log")
    lowest = min([value for p in points for value in (p.cl50_ms,) if value] or [1.0])
    highest = max([value for p in points for value in (p.cl99_ms,) if value] or [100.0])
    top = max(highest, cl99_ms or 0.0)
    axes.set_ylim(lowest / 1.4, min(top, 40 * (cl99_ms or top)) * 1.6)
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    if cl99_ms:
        axes.axhline(cl99_ms, color=LIMIT, linewidth=1.0, linestyle=(0, (5, 3)), zorder=1)
        axes.annotate(
            f"limit of CL99: {cl99_ms:g} ms",
            (0.0, cl99_ms),
            xycoords=("axes fraction", "data"),
            xytext=(6, 3),
            textcoords="offset points",
            color=LIMIT,
            fontsize=9,
        )
    axes.set_ylabel("compute latency of\na 60 ms chunk, ms")
    _plain(axes)
    axes.legend(loc="lower right", frameon=False, ncols=len(LINES))


def _cores(axes: Axes, points: Sequence[Point]) -> None:
    for name, label, colour in CORES:
        known = [(p.streams, value) for p in points if (value := getattr(p, name)) is not None]
        if known:
            axes.plot(
                *zip(*known, strict=True), color=colour, linewidth=2, marker="o", markersize=4,
                label=label,
            )  # fmt: skip
    axes.set_ylim(bottom=0.0)
    axes.set_xlim(left=0.0)
    axes.set_ylabel("cores used")
    axes.set_xlabel("streams in real time")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    _plain(axes)
    if axes.lines:
        axes.legend(loc="upper left", frameon=False, ncols=len(CORES))


def _plain(axes: Axes) -> None:
    axes.yaxis.set_minor_locator(NullLocator())
    bare(axes)
