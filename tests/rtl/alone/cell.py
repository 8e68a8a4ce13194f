"""Values at the edges of the element unit, and a simulation of `rill_cell`.

A layer's own inputs seldom give a gate a certain value: here each is set, on both sides of every bound of rule 3.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from tests.rtl.alone.replay import Ints, replay
from tests.rtl.simulators import Simulator

__all__ = ["edges", "run_cell"]

Z_WIDTH = 25
RANDOM = 400  # values of each kind


def edges() -> tuple[Ints, Ints]:
    """Return gate inputs and cells: z (N, 4) of the gates i, f, g, o, and c (N, 1)."""
    rng = np.random.default_rng(0)
    bounds = np.array([b + d for b in (-16384, -4096, 0, 4096, 16384) for d in (-1, 0, 1)])
    far = np.array([-(1 << Z_WIDTH - 1), -32769, 32768, (1 << Z_WIDTH - 1) - 1])
    cells = np.array([b + d for b in (-4096, 0, 4096) for d in (-1, 0, 1)] + [-32768, 32767])
    z = rng.integers(-20000, 20000, (4 * RANDOM, 4))
    c = rng.integers(-32768, 32768, (4 * RANDOM, 1))
    at = slice(RANDOM, 3 * RANDOM)
    z[at] = rng.choice(np.concatenate([bounds, far]), z[at].shape)
    c[2 * RANDOM :] = rng.choice(cells, c[2 * RANDOM :].shape)
    # A cell that is held, one more or less: the least that saturates, and the most that does not.
    # With o = 384 a hidden state of a cell of 1 is a tie, which a cell of 4095 / 4096 is not.
    held = [
        (i - 16384, 16384, g, o - 16384, cell)
        for cell in (-32768, -32767, -4097, -4096, -4095, 4095, 4096, 4097, 32766, 32767)
        for i, g in ((0, 0), (8, 4096), (8, -4096), (4, 4096), (4, -4096), (12, 4096), (12, -4096))
        for o in (384, 32768)
    ]
    held_z, held_c = np.split(np.array(held), [4], axis=1)
    return np.concatenate([z, held_z]), np.concatenate([c, held_c])


def run_cell(
    simulator: Simulator, folder: Path, z: Ints, c: Ints, *options: str
) -> tuple[Ints, Ints]:
    """Return h and c after each step, (N, 1).

    Args:
        options: plusargs of the bench.
    """
    rows = np.concatenate([z & ((1 << Z_WIDTH) - 1), c & 0xFFFF], axis=1).tolist()
    found = replay(simulator, folder, "cell_bench", {"Z_WIDTH": Z_WIDTH}, rows, *options)
    h, after = np.array(found).reshape(-1, 2, 1).swapaxes(0, 1)
    return h.astype(np.uint8).astype(np.int8), after.astype(np.uint16).astype(np.int16)
