"""The memory of this process, without torch: what there is, what is held, what a piece of work needs."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path

STATUS = Path("/proc/self/status")
LIMIT = Path("/sys/fs/cgroup/memory.max")


class ProcessMemory:
    """The memory of this process; without /proc, `held` is the most that it ever held."""

    def there(self) -> int:
        """Return the machine's memory, or the limit of its container."""
        whole = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
        try:
            return min(whole, int(LIMIT.read_text()))
        except (OSError, ValueError):  # no container, or one without a limit
            return whole

    def held(self) -> int:
        """Return what the process holds now."""
        return _status("VmRSS") if STATUS.exists() else _peak()

    def peak_during(self, work: Callable[[], object]) -> int:
        """Do some work; return the most that the process held meanwhile."""
        if STATUS.exists():
            Path("/proc/self/clear_refs").write_text("5")  # sets the peak back to what is held now
        work()
        return _status("VmHWM") if STATUS.exists() else _peak()


def _status(name: str) -> int:
    line = next(line for line in STATUS.read_text().splitlines() if line.startswith(f"{name}:"))
    return int(line.split()[1]) * 1024


def _peak() -> int:
    import resource  # there is none on Windows

    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return most if sys.platform == "darwin" else most * 1024  # kilobytes, but for macOS
