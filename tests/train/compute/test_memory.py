"""Memory: counted in states, and that of the device that a run learns on."""

from __future__ import annotations

import pytest

torch = pytest.importorskip("torch")

from stream.engine.resources import ProcessMemory
from train.compute.memory import CudaMemory, bytes_of, memory_of


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
