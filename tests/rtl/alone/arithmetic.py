"""Values at the edges of rounding and of the joint, and a simulation of `rill_round` and `rill_joint`."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import numpy as np

from stream.integer.fixed import JOINT_SHIFT, joint_hidden, rhe
from tests.rtl.alone.replay import Ints, replay
from tests.rtl.simulators import Simulator

__all__ = ["Operands", "operands", "run_arithmetic"]

ACC_WIDTH = 24
SHIFTS = range(20)
SETTLE = 8  # rows before and after those of a shift, which is the same for all values under way


class Operands(NamedTuple):
    """A row a clock of what goes into both modules.

    Attributes:
        shift, sums, bias: of `rill_round`.
        e, g: of `rill_joint`.
        written: whether the results are looked at.
    """

    shift: Ints
    sums: Ints
    bias: Ints
    e: Ints
    g: Ints
    written: Ints

    def values(self) -> tuple[Ints, Ints]:
        """Return what the specification makes of the rows that are looked at: rounded sums, and a of the joint."""
        at = self.written == 1
        rows = zip(self.sums[at] + self.bias[at], self.shift[at].tolist(), strict=True)
        return np.array([rhe(total, shift) for total, shift in rows]), joint_hidden(
            self.e[at], self.g[at]
        )


def operands() -> Operands:
    """Return operands on both sides of every tie, of either sign, and of both bounds of the joint."""
    rng = np.random.default_rng(0)
    most = 1 << ACC_WIDTH - 1
    shift, total, written = [], [], []
    for each in SHIFTS:
        half = (1 << each) >> 1
        quotients = [*range(-4, 5), (most >> each) - 2, 2 - (most >> each)]
        near = [(q << each) + half + d for q in quotients for d in (-half, -1, 0, 1)]
        near += [-most, most - 1, *rng.integers(-most, most, 8).tolist()]
        near = [value for value in near if -most <= value < most]
        shift += [each] * (len(near) + 2 * SETTLE)
        total += [0] * SETTLE + near + [0] * SETTLE
        written += [0] * SETTLE + [1] * len(near) + [0] * SETTLE
    sums = np.array(total)
    bias = rng.integers(np.maximum(-most, sums - most + 1), np.minimum(most, sums + most + 1))
    ties = [
        (k << JOINT_SHIFT) + 32 + d for k in (0, 1, 2, 3, 253, 254, 255, 256) for d in (-1, 0, 1)
    ]
    joint = np.array([*ties, -65536, -1, 0, 1, 16383, 32767, 32768, 65534])
    joint = np.concatenate([joint, rng.integers(-2000, 20000, len(sums) - len(joint))])
    joint = rng.permutation(joint)
    e = rng.integers(np.maximum(-32768, joint - 32767), np.minimum(32768, joint + 32769))
    return Operands(np.array(shift), sums - bias, bias, e, joint - e, np.array(written))


def run_arithmetic(simulator: Simulator, folder: Path, rows: Operands) -> tuple[Ints, Ints]:
    """Return rounded sums and a of the joint, of the rows that are looked at."""
    mask = (1 << ACC_WIDTH) - 1
    columns = [rows.shift, rows.sums & mask, rows.bias & mask, rows.e & 0xFFFF, rows.g & 0xFFFF]
    lines = np.stack([*columns, rows.written], axis=1).tolist()
    found = replay(simulator, folder, "arithmetic_bench", {"ACC_WIDTH": ACC_WIDTH}, lines)
    value, a = np.array(found).T
    return value - ((value >> ACC_WIDTH) << ACC_WIDTH + 1), a
