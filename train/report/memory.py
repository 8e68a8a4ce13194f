"""Memory that training takes, in GB."""

from __future__ import annotations

import os
import resource
import sys
from pathlib import Path

import torch

STATM = Path("/proc/self/statm")


def memory() -> dict[str, float]:
    """Return the memory of this process now, and the most that its GPU has given it.

    Without /proc it is the most that the process ever had.
    """
    if STATM.exists():
        bytes_ = int(STATM.read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    else:
        unit = 1 if sys.platform == "darwin" else 1024
        bytes_ = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
    found = {"process_gb": bytes_ / 1e9}
    if torch.cuda.is_available():
        found["gpu_gb"] = torch.cuda.max_memory_allocated() / 1e9
    return found
