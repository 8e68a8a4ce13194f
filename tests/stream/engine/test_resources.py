"""The resources of this process: its peaks of memory, and the limits of the groups that it is in."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from stream.engine import resources
from stream.engine.resources import STATUS, ProcessMemory, usable_cores

# In a process of its own: what a test of training leaves behind keeps what is freed.
PEAKS = """
import numpy as np
from stream.engine.resources import ProcessMemory
own = ProcessMemory()
before = own.held()
for size in 256, 32:
    print(own.peak_during(lambda: np.ones(size << 20, np.uint8)) - before)
"""


@pytest.mark.skipif(not STATUS.exists(), reason="wants Linux's /proc")
def test_a_peak_is_that_of_the_work_and_not_of_what_was_before() -> None:
    found = subprocess.run(
        [sys.executable, "-c", PEAKS], capture_output=True, text=True, check=True
    )
    large, small = map(int, found.stdout.split())
    assert 250e6 < large < 350e6
    assert small < 150e6


class Groups:
    """Control groups in a folder of their own, in place of the machine's."""

    def __init__(self, folder: Path) -> None:
        self.mounted = folder

    def own(self, *lines: str) -> None:
        """Say which groups the process is in."""
        (self.mounted / "own").write_text("".join(f"{line}\n" for line in lines))

    def limit(self, file: str, content: object) -> None:
        """Write a limit."""
        path = self.mounted / file
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"{content}\n")


@pytest.fixture
def groups(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Groups:
    monkeypatch.setattr(resources, "MOUNTED", tmp_path)
    monkeypatch.setattr(resources, "GROUPS", tmp_path / "own")
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(64)), raising=False)
    return Groups(tmp_path)


def test_without_groups_all_of_the_machine_may_be_used(groups: Groups) -> None:
    assert usable_cores() == 64
    assert ProcessMemory().there() == os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")


@pytest.mark.parametrize(
    ("quota", "cores"),
    [("max 100000", 64), ("400000 100000", 4), ("150000 100000", 1), ("20000 100000", 1)],
)
def test_cores_are_whole_ones_of_the_quota(groups: Groups, quota: str, cores: int) -> None:
    groups.own("0::/")
    groups.limit("cpu.max", quota)
    assert usable_cores() == cores


def test_the_least_limit_of_all_groups_around_counts(groups: Groups) -> None:
    groups.own("0::/system.slice/rill.service")
    whole = ProcessMemory().there()
    groups.limit("system.slice/rill.service/cpu.max", "800000 100000")
    groups.limit("system.slice/rill.service/memory.max", "max")
    assert (usable_cores(), ProcessMemory().there()) == (8, whole)
    groups.limit("system.slice/cpu.max", "300000 100000")
    groups.limit("system.slice/memory.max", 1_000_000)
    assert (usable_cores(), ProcessMemory().there()) == (3, 1_000_000)
    groups.limit("user.slice/cpu.max", "100000 100000")  # another's
    assert usable_cores() == 3


def test_groups_of_version_1_are_read_by_controller(groups: Groups) -> None:
    groups.own("4:memory:/pod", "3:cpuset,cpu:/pod", "0::/")
    whole = ProcessMemory().there()
    groups.limit("cpu/pod/cpu.cfs_quota_us", -1)
    groups.limit("memory/pod/memory.limit_in_bytes", 2**63 - 4096)
    assert (usable_cores(), ProcessMemory().there()) == (64, whole)
    groups.limit("cpu/pod/cpu.cfs_quota_us", 100_000)
    groups.limit("cpu/pod/cpu.cfs_period_us", 50_000)
    groups.limit("memory/pod/memory.limit_in_bytes", 2_000_000)
    assert (usable_cores(), ProcessMemory().there()) == (2, 2_000_000)


def test_in_a_container_the_groups_are_mounted_without_their_path(groups: Groups) -> None:
    groups.own("3:cpu,cpuacct:/docker/0123", "4:memory:/docker/0123")
    groups.limit("cpu/cpu.cfs_quota_us", 200_000)
    groups.limit("cpu/cpu.cfs_period_us", 100_000)
    groups.limit("memory/memory.limit_in_bytes", 3_000_000)
    assert (usable_cores(), ProcessMemory().there()) == (2, 3_000_000)


@pytest.fixture
def limited() -> Iterator[Path]:
    """A control group of the machine with a quota of one core and a half."""
    root = next(
        (path for path in (resources.MOUNTED / "cpu", resources.MOUNTED) if path.is_dir()), None
    )
    if root is None:
        pytest.skip("wants Linux's control groups")
    group = root / f"rill-test-{os.getpid()}"
    try:
        group.mkdir()
    except OSError as error:
        pytest.skip(f"control groups cannot be made here: {error}")
    try:
        if (group / "cpu.cfs_quota_us").exists():
            (group / "cpu.cfs_quota_us").write_text("150000")
        elif (group / "cpu.max").exists():
            (group / "cpu.max").write_text("150000 100000")
        else:
            pytest.skip("the controller of CPU is not given on to groups here")
        yield group
    finally:
        group.rmdir()


def test_a_process_in_a_group_of_the_machine_uses_its_quota(limited: Path) -> None:
    program = (
        "import os, sys; from pathlib import Path; from stream.engine.resources import usable_cores;"
        "os.sched_getaffinity = lambda _: set(range(64));"
        "Path(sys.argv[1], 'cgroup.procs').write_text(str(os.getpid())); print(usable_cores())"
    )
    found = subprocess.run(
        [sys.executable, "-c", program, str(limited)], capture_output=True, text=True, check=True
    )
    assert found.stdout == "1\n"
