"""`rill_ram` and `rill_rom` answer with the word at the address, in one block and in many."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.rtl.alone.memory import MEMORIES, accesses, run_memory
from tests.rtl.simulators import Simulator


@pytest.mark.slow
@pytest.mark.parametrize(("depth", "clocks"), MEMORIES)
def test_what_is_read_was_written_last(
    depth: int, clocks: int, simulator: Simulator, tmp_path: Path
) -> None:
    of = accesses(depth)
    answers = run_memory(simulator, tmp_path, depth, clocks, of)
    assert len(answers) == len(of.answers)
    assert np.array_equal(answers[depth:, 0], of.answers[depth:, 0])  # from when it was filled
    assert np.array_equal(answers[:, 1], of.answers[:, 1])
