"""`rill_fifo` loses, doubles, changes and overtakes no word, and says at once that it is empty."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.rtl.alone.fifo import DEPTHS, check_fifo, run_fifo, traffic
from tests.rtl.simulators import Simulator


@pytest.mark.slow
@pytest.mark.parametrize("depth", DEPTHS)
def test_every_word_passes_once_and_in_order(
    depth: int, simulator: Simulator, tmp_path: Path
) -> None:
    answers = run_fifo(simulator, tmp_path, depth, traffic())
    assert check_fifo(depth, traffic(), answers) > 60
    assert not answers[:, 0].all() and answers[:, 3].any()  # it was full, and empty
