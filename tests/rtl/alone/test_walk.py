"""`rill_walk` goes through groups, channels, units and lanes in this order."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.rtl.alone.walk import order, run_walk
from tests.rtl.simulators import Simulator


@pytest.mark.slow
@pytest.mark.parametrize("pauses", [(), ("idle",)])
def test_results_come_by_group_channel_unit_and_lane(
    pauses: tuple[str, ...], simulator: Simulator, tmp_path: Path
) -> None:
    assert np.array_equal(run_walk(simulator, tmp_path, *pauses), order())
