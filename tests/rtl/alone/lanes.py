"""Sums of products with pauses in them, and a simulation of `rill_lanes`."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from tests.rtl.alone.replay import Ints, replay
from tests.rtl.simulators import Simulator

__all__ = ["products", "run_lanes"]

LANES = 3
ACC_WIDTH = 24
SUMS = 40
SHARE = 0.6  # of clocks in which a product comes


def products() -> tuple[Ints, Ints]:
    """Return a row a clock, valid, first, last, operand and a weight for each lane, and the sums, (SUMS, LANES).

    What comes beside `valid` is random.
    """
    rng = np.random.default_rng(0)
    rows, sums = [], []
    for size in rng.integers(1, 6, SUMS).tolist():
        operands = rng.choice([-2048, 2047, -1, 1, 300], size)
        weights = rng.choice([-128, 127, -1, 1, 77], (size, LANES))
        sums.append(operands @ weights)
        for n, (operand, of_lanes) in enumerate(zip(operands, weights, strict=True)):
            while rng.random() > SHARE:
                noise = rng.integers(-128, 128, 1 + LANES)
                rows.append([0, *rng.integers(0, 2, 2), *noise])
            rows.append([1, n == 0, n == size - 1, operand, *of_lanes])
    return np.array(rows), np.array(sums)


def run_lanes(simulator: Simulator, folder: Path, rows: Ints) -> Ints:
    """Return the sums of all lanes."""
    weights = [int.from_bytes(bytes(row), "little") for row in (rows[:, 4:] & 0xFF).tolist()]
    lines = [
        [*row[:3], row[3] & 0xFFF, word] for row, word in zip(rows.tolist(), weights, strict=True)
    ]
    found = replay(simulator, folder, "lanes_bench", {"LANES": LANES}, lines)
    mask, most = (1 << ACC_WIDTH) - 1, 1 << ACC_WIDTH - 1
    sums = [[(row[0] >> ACC_WIDTH * lane) & mask for lane in range(LANES)] for row in found]
    return (np.array(sums) ^ most) - most
