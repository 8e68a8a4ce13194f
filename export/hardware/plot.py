"""Plot the streams that devices carry over the bandwidth of the memory beside them. Needs matplotlib."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter, NullLocator

from export.hardware.devices import GIGA, Device
from export.hardware.estimate import estimate
from stream.model.specification import Specification
from stream.plot import INK, bare, plotting

POINTS = 400
LEAST, MOST = 1e-2 * GIGA, 1e3 * GIGA  # bytes a second
COLOURS = ("#0b3954", "#087e8b", "#6cc4cc", "#f2a541", "#c0392b", "#7d5ba6")


def draw(
    shapes: Mapping[str, Specification],
    devices: Mapping[str, Device],
    path: Path,
    *,
    tokens: float,
    delay: float,
) -> None:
    """Draw a panel for each model, a line for each device, with a dot at the bandwidth that its boards have.

    Args:
        shapes: models by name.
        devices: by name.
        path: `.svg` or `.png`.
        tokens: of a stream, a second.
        delay: seconds from the end of a chunk to its tokens.
    """
    title = f"Streams in real time by bandwidth of external memory, {1000 * delay:g} ms of delay"
    with plotting(path, title, 3.4 * len(shapes)) as figure:
        panels = figure.subplots(len(shapes), 1, sharex=True, squeeze=False)[:, 0]
        for axes, (name, specification) in zip(panels, shapes.items(), strict=True):
            _panel(axes, name, specification, devices, tokens, delay)
        panels[-1].set_xlabel("bandwidth, GB/s; dots: of usual boards")
        figure.legend(
            *panels[0].get_legend_handles_labels(), loc="outside right center", frameon=False
        )


def _panel(
    axes: Axes,
    name: str,
    specification: Specification,
    devices: Mapping[str, Device],
    tokens: float,
    delay: float,
) -> None:
    bandwidths = np.geomspace(LEAST, MOST, POINTS)

    def streams(device: Device, bandwidth: float) -> float:
        found = estimate(specification, device._replace(bandwidth=bandwidth), tokens, delay)
        return found.streams or np.nan

    for n, (label, device) in enumerate(devices.items()):
        colour = COLOURS[n % len(COLOURS)]
        style = "-" if n < len(COLOURS) else (0, (4, 2))
        carried = [streams(device, bandwidth) for bandwidth in bandwidths]
        axes.plot(
            bandwidths / GIGA, carried, color=colour, linestyle=style, linewidth=2, label=label
        )
        axes.plot(
            device.bandwidth / GIGA, streams(device, device.bandwidth), "o", color=colour, markersize=6
        )  # fmt: skip
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.set_xlim(LEAST / GIGA, MOST / GIGA)
    axes.set_ylim(bottom=3.0)
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        axis.set_minor_locator(NullLocator())
    axes.set_ylabel("streams")
    axes.set_title(name, loc="left", color=INK, fontsize=10.5)
    bare(axes)
