"""Memory: counted in states, measured in the process."""

from __future__ import annotations

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from train.dry_run.memory import STATUS, bytes_of, held, machine_memory, peak_during


def test_the_bytes_of_a_state_are_those_of_its_tensors() -> None:
    state = {
        "weight": torch.zeros(10, 4),
        "nested": [
            torch.zeros(3, dtype=torch.int64),
            {"half": torch.zeros(5, dtype=torch.bfloat16)},
        ],
        "tokenizer": b"12345",
        "update": 7,
    }
    assert bytes_of(state) == 160 + 24 + 10 + 5


@pytest.mark.skipif(not STATUS.exists(), reason="wants Linux's /proc")
def test_a_peak_is_that_of_the_work_and_not_of_what_was_before() -> None:
    def work(megabytes: int) -> None:
        np.ones(megabytes << 20, np.uint8)

    before = held()
    large, small = (peak_during(lambda m=m: work(m)) for m in (256, 32))
    assert 250e6 < large - before < 350e6
    assert small - before < 150e6


def test_the_machine_has_memory() -> None:
    assert machine_memory() > 1e8
