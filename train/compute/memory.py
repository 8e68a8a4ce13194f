"""Memory of the device that a run learns on, and of what a checkpoint holds."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import torch

from stream.engine.resources import ProcessMemory


class Memory(Protocol):
    """The memory of what a run learns on, in bytes."""

    def there(self) -> int:
        """Return how much of it there is."""

    def held(self) -> int:
        """Return how much is held now."""

    def peak_during(self, work: Callable[[], object]) -> int:
        """Do some work; return the most that was held meanwhile."""


@dataclass(frozen=True)
class CudaMemory:
    """The memory of a GPU, as torch allocates it."""

    device: torch.device

    def there(self) -> int:
        """Return the GPU's."""
        return int(torch.cuda.get_device_properties(self.device).total_memory)

    def held(self) -> int:
        """Return what tensors hold now."""
        return int(torch.cuda.memory_allocated(self.device))

    def peak_during(self, work: Callable[[], object]) -> int:
        """Do some work; return the most that tensors held meanwhile."""
        torch.cuda.reset_peak_memory_stats(self.device)
        work()
        torch.cuda.synchronize(self.device)
        return int(torch.cuda.max_memory_allocated(self.device))


def memory_of(device: torch.device) -> Memory:
    """Return the memory that a run on a device is limited by."""
    return CudaMemory(device) if device.type == "cuda" else ProcessMemory()


def used_gb() -> dict[str, float]:
    """Return the memory that this process holds now, and the most that tensors on its GPU have held, in GB."""
    found = {"process_gb": ProcessMemory().held() / 1e9}
    if torch.cuda.is_available():
        found["gpu_gb"] = torch.cuda.max_memory_allocated() / 1e9
    return found


def bytes_of(state: Any) -> int:
    """Return the size of the tensors and bytes in a state, which may be nested."""
    if isinstance(state, torch.Tensor):
        return state.numel() * state.element_size()
    if isinstance(state, bytes):
        return len(state)
    if isinstance(state, Mapping):
        return sum(bytes_of(each) for each in state.values())
    if isinstance(state, list | tuple):
        return sum(bytes_of(each) for each in state)
    return 0
