"""Layers whose results come in the order of `rill_walk`, and a simulation of it."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from tests.rtl.alone.replay import Ints, replay
from tests.rtl.simulators import Simulator

__all__ = ["order", "run_walk"]

UNITS = 3
LAYERS = (  # linear, groups, first and last channel
    (0, 3, 0, 2),
    (1, 2, 0, 0),
    (0, 1, 3, 3),
    (1, 3, 1, 3),
    (0, 2, 0, 3),
    (1, 1, 2, 2),
)


def order() -> Ints:
    """Return a row a result: index, lane, channel, whether it is the last of its group and channel, and of all."""
    rows = []
    for linear, groups, first, last in LAYERS:
        lanes = 4 if linear else 1
        rows += [
            (
                UNITS * group + unit,
                lane,
                channel,
                unit == UNITS - 1 and lane == lanes - 1,
                (group, channel, unit, lane) == (groups - 1, last, UNITS - 1, lanes - 1),
            )
            for group in range(groups)
            for channel in range(first, last + 1)
            for unit in range(UNITS)
            for lane in range(lanes)
        ]
    return np.array(rows, np.int64)


def run_walk(simulator: Simulator, folder: Path, *options: str) -> Ints:
    """Return where it stands at each result."""
    return np.array(replay(simulator, folder, "walk_bench", {"UNITS": UNITS}, LAYERS, *options))
