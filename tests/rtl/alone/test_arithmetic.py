"""`rill_round` rounds half to even at every shift, `rill_joint` computes rule 6 at both bounds, `rill_lanes` adds products."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.rtl.alone.arithmetic import ACC_WIDTH, SHIFTS, operands, run_arithmetic
from tests.rtl.alone.lanes import products, run_lanes
from tests.rtl.simulators import Simulator


def test_the_edges_are_there() -> None:
    rows = operands()
    total = rows.sums + rows.bias
    assert {-(1 << ACC_WIDTH - 1), (1 << ACC_WIDTH - 1) - 1} <= set(total.tolist())
    for shift in SHIFTS[1:]:
        of = total[(rows.shift == shift) & (rows.written == 1)]
        ties = of[of % (1 << shift) == 1 << (shift - 1)] >> shift
        assert {(odd, negative) for odd in (0, 1) for negative in (False, True)} <= {
            (tie % 2, tie < 0) for tie in ties.tolist()
        }
    _, a = rows.values()
    assert {0, 1, 254, 255} <= set(a.tolist())


@pytest.mark.slow
def test_sums_are_rounded_and_joined_as_the_specification_says(
    simulator: Simulator, tmp_path: Path
) -> None:
    rows = operands()
    value, a = rows.values()
    rounded, joined = run_arithmetic(simulator, tmp_path, rows)
    assert np.array_equal(rounded, value)
    assert np.array_equal(joined, a)


@pytest.mark.slow
def test_pauses_between_products_leave_their_sum_alone(
    simulator: Simulator, tmp_path: Path
) -> None:
    rows, sums = products()
    assert np.array_equal(run_lanes(simulator, tmp_path, rows), sums)
