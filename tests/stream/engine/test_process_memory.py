"""The memory of this process: its peaks, and the limit of a container."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import numpy as np
import pytest

from stream.engine import process_memory
from stream.engine.process_memory import STATUS, ProcessMemory


@pytest.mark.skipif(not STATUS.exists(), reason="wants Linux's /proc")
def test_a_peak_is_that_of_the_work_and_not_of_what_was_before() -> None:
    def work(megabytes: int) -> None:
        np.ones(megabytes << 20, np.uint8)

    own = ProcessMemory()
    before = own.held()
    large, small = (own.peak_during(partial(work, size)) for size in (256, 32))
    assert 250e6 < large - before < 350e6
    assert small - before < 150e6


def test_a_container_has_the_memory_of_its_limit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    limit = tmp_path / "memory.max"
    monkeypatch.setattr(process_memory, "LIMIT", limit)
    whole = ProcessMemory().there()
    limit.write_text("1000000\n")
    assert ProcessMemory().there() == 1_000_000
    limit.write_text("max\n")
    assert ProcessMemory().there() == whole
