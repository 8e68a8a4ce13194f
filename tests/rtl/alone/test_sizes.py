"""`rill_external` has room for the largest group and for the embedding, and for no more."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.rtl.alone.sizes import SIZES, run_sizes
from tests.rtl.simulators import SIMULATORS


@pytest.mark.slow
def test_there_is_room_for_what_is_there(tmp_path: Path) -> None:
    icarus = SIMULATORS["iverilog"]
    found = [run_sizes(icarus, tmp_path / str(n), each) for n, (each, _) in enumerate(SIZES)]
    assert found == [expected for _, expected in SIZES]
