"""The resources of this process: cores and memory that it may use, and the memory that it holds.

What it may use is what the machine has, less what a container, a pod or a unit of systemd is limited to. Linux keeps these
limits in control groups, of version 2 (kernel.org, cgroup-v2.rst: cpu.max, memory.max) or of version 1
(cpu.cfs_quota_us, memory.limit_in_bytes); those of all groups around the process's own count.
"""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

STATUS = Path("/proc/self/status")
GROUPS = Path("/proc/self/cgroup")
MOUNTED = Path("/sys/fs/cgroup")


def usable_cores() -> int:
    """Return how many whole cores this process may use, at least 1."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return max(1, int(min((cores or 1, *_shares()))))


class ProcessMemory:
    """The memory of this process; without /proc, `held` is the most that it ever held."""

    def there(self) -> int:
        """Return how much it may hold."""
        whole = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
        return min((whole, *_limits("memory", "memory.max", "memory.limit_in_bytes")))

    def held(self) -> int:
        """Return what it holds now."""
        return _status("VmRSS") if STATUS.exists() else _peak()

    def peak_during(self, work: Callable[[], object]) -> int:
        """Do some work; return the most that the process held meanwhile."""
        if STATUS.exists():
            Path("/proc/self/clear_refs").write_text("5")  # sets the peak back to what is held now
        work()
        return _status("VmHWM") if STATUS.exists() else _peak()


def _shares() -> Iterator[float]:
    """Yield the limits on computing, in cores."""
    for folder in _groups("cpu"):
        with contextlib.suppress(OSError, ValueError):  # no such file, or no limit: max
            quota, period = map(int, (folder / "cpu.max").read_text().split())
            yield quota / period
        with contextlib.suppress(OSError):
            quota = int((folder / "cpu.cfs_quota_us").read_text())
            if quota > 0:  # -1: no limit
                yield quota / int((folder / "cpu.cfs_period_us").read_text())


def _limits(controller: str, *names: str) -> Iterator[int]:
    """Yield the numbers in files of the groups; without a limit a file says max, or a number larger than any machine's."""
    for folder in _groups(controller):
        for name in names:
            with contextlib.suppress(OSError, ValueError):
                yield int((folder / name).read_text())


def _groups(controller: str) -> Iterator[Path]:
    """Yield the folders of this process's groups, each with those around it; some may not be there."""
    try:
        lines = GROUPS.read_text().splitlines()
    except OSError:  # not Linux
        return
    for line in lines:  # 0::/path of version 2, 4:cpu,cpuacct:/path of version 1
        _, controllers, path = line.split(":", 2)
        if controllers and controller not in controllers.split(","):
            continue
        folder = MOUNTED / controller if controllers else MOUNTED
        yield folder
        for part in path.strip("/").split("/"):
            folder /= part
            yield folder


def _status(name: str) -> int:
    line = next(line for line in STATUS.read_text().splitlines() if line.startswith(f"{name}:"))
    return int(line.split()[1]) * 1024


def _peak() -> int:
    import resource  # there is none on Windows

    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return most if sys.platform == "darwin" else most * 1024  # kilobytes, but for macOS
