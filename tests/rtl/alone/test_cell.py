"""`rill_cell` computes rule 3 on both sides of each of its bounds."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from stream.integer.fixed import GATE_BITS, cell_values, rhe
from tests.rtl.alone.cell import edges, run_cell
from tests.rtl.simulators import Simulator


def test_the_edges_are_there() -> None:
    z, c = edges()
    values = cell_values(z, c)
    cell = rhe(values.p, GATE_BITS)
    for gate in (values.i, values.f, values.o):
        assert {0, 1, 32767, 32768} <= set(gate.ravel().tolist())
    assert {-4096, -4095, 4095, 4096} <= set(values.g.ravel().tolist())
    assert {-32769, -32768, 32767, 32768} <= set(cell.ravel().tolist())
    assert {-4097, -4096, -4095, 4095, 4096, 4097} <= set(values.c.ravel().tolist())
    assert {-128, -127, 126, 127} <= set(values.h.ravel().tolist())


@pytest.mark.slow
def test_every_value_on_both_sides_of_a_bound_is_right(
    simulator: Simulator, tmp_path: Path
) -> None:
    z, c = edges()
    values = cell_values(z, c)
    for pauses in ((), ("idle",)):
        h, after = run_cell(simulator, tmp_path, z, c, *pauses)
        assert np.array_equal(h, values.h), pauses
        assert np.array_equal(after, values.c), pauses
