"""Memory: what a process holds and what a piece of work adds, measured; what weights take, counted."""

from __future__ import annotations

import os
import resource
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch

STATUS = Path("/proc/self/status")
LIMIT = Path("/sys/fs/cgroup/memory.max")


def bytes_of(state: Any) -> int:
    """Return the bytes of the tensors in a state, which may be nested; of bytes their number."""
    if isinstance(state, torch.Tensor):
        return state.numel() * state.element_size()
    if isinstance(state, bytes):
        return len(state)
    if isinstance(state, Mapping):
        return sum(bytes_of(each) for each in state.values())
    if isinstance(state, list | tuple):
        return sum(bytes_of(each) for each in state)
    return 0


def machine_memory() -> int:
    """Return the bytes that this process may have: the machine's, or its container's."""
    whole = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    try:
        return min(whole, int(LIMIT.read_text()))
    except (OSError, ValueError):  # no container, or one without a limit
        return whole


def held() -> int:
    """Return the bytes that this process holds now."""
    return _status("VmRSS") if STATUS.exists() else _peak()


def peak_during(work: Callable[[], object]) -> int:
    """Do some work; return the most bytes that this process held meanwhile.

    Where the system keeps one peak for the life of a process, that is returned.
    """
    if STATUS.exists():
        Path("/proc/self/clear_refs").write_text("5")  # sets the peak back to what is held now
    work()
    return _status("VmHWM") if STATUS.exists() else _peak()


def _status(name: str) -> int:
    line = next(line for line in STATUS.read_text().splitlines() if line.startswith(f"{name}:"))
    return int(line.split()[1]) * 1024


def _peak() -> int:
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return most if sys.platform == "darwin" else most * 1024  # kilobytes, but for macOS
