"""Memory: counted in states, measured in the process."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from train.compute import memory
from train.compute.memory import STATUS, CudaMemory, ProcessMemory, bytes_of, memory_of


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

    own = ProcessMemory()
    before = own.held()
    large, small = (own.peak_during(partial(work, size)) for size in (256, 32))
    assert 250e6 < large - before < 350e6
    assert small - before < 150e6


def test_the_machine_has_memory() -> None:
    assert memory_of(torch.device("cpu")).there() > 1e8


@pytest.mark.skipif(not torch.cuda.is_available(), reason="wants a GPU")
def test_the_memory_of_a_gpu_is_that_of_its_tensors() -> None:
    device = torch.device("cuda:0")
    memory = memory_of(device)
    before = memory.held()
    peak = memory.peak_during(lambda: torch.ones(64 << 20, dtype=torch.uint8, device=device))
    assert 64 << 20 <= peak - before < 80 << 20
    assert memory.held() == before
    assert memory.there() > 1e9


def test_a_gpu_is_asked_and_not_the_process() -> None:
    assert isinstance(memory_of(torch.device("cuda:0")), CudaMemory)
    assert isinstance(memory_of(torch.device("cpu")), ProcessMemory)


def test_a_container_has_the_memory_of_its_limit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    limit = tmp_path / "memory.max"
    monkeypatch.setattr(memory, "LIMIT", limit)
    whole = ProcessMemory().there()
    limit.write_text("1000000\n")
    assert ProcessMemory().there() == 1_000_000
    limit.write_text("max\n")
    assert ProcessMemory().there() == whole
