"""CPU and memory of processes, from Linux's /proc; and which processes listen on a port.

1. CPU is the time in user and system mode of all threads of a process, including ended ones.
2. Memory is the resident set, shared pages included.
3. Where several processes listen on the port, or have started others, all are summed.
4. What cannot be read (another machine, another system, another user's process) is None, not zero.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from stream.engine.resources import usable_cores

PROC = Path("/proc")
LISTEN = "0A"  # state in /proc/net/tcp


@dataclass(frozen=True)
class Usage:
    """CPU seconds used so far and bytes of memory now."""

    cpu_seconds: float
    memory: int


def usage(pids: tuple[int, ...]) -> Usage | None:
    """Return the sum over processes (rules 1 to 3), or None (rule 4)."""
    if not pids:
        return None
    ticks, pages = 0, 0
    try:
        for pid in pids:
            # The second field is the name in brackets, which may hold anything.
            fields = (PROC / str(pid) / "stat").read_text().rpartition(")")[2].split()
            ticks += int(fields[11]) + int(fields[12])  # utime, stime
            pages += int((PROC / str(pid) / "statm").read_text().split()[1])
    except OSError:
        return None
    return Usage(ticks / os.sysconf("SC_CLK_TCK"), pages * os.sysconf("SC_PAGE_SIZE"))


def listeners(url: str) -> tuple[int, ...]:
    """Return the processes that listen at a URL of this machine, and those that they have started.

    Empty if the URL is of another machine.
    """
    parts = urlsplit(url)
    port = parts.port or (443 if parts.scheme == "wss" else 80)
    if not _is_local(parts.hostname or "") or not PROC.is_dir():
        return ()
    inodes = set()
    for table in ("tcp", "tcp6"):
        try:
            lines = (PROC / "net" / table).read_text().splitlines()[1:]
        except OSError:
            continue  # a kernel without IPv6
        for fields in map(str.split, lines):
            if fields[3] == LISTEN and int(fields[1].rpartition(":")[2], 16) == port:
                inodes.add(f"socket:[{fields[9]}]")
    return _family(int(p.name) for p in PROC.glob("[0-9]*") if inodes & _open_files(p))


def _family(ancestors: Iterable[int]) -> tuple[int, ...]:
    """Return some processes and all their descendants."""
    children: dict[int, list[int]] = {}
    for process in PROC.glob("[0-9]*"):
        with suppress(OSError):  # it has ended
            parent = int((process / "stat").read_text().rpartition(")")[2].split()[1])
            children.setdefault(parent, []).append(int(process.name))
    found = list(ancestors)
    for pid in found:
        found += children.get(pid, ())
    return tuple(sorted(set(found)))


def machine() -> str:
    """Return the number and the model of the cores that this process may use."""
    cores = usable_cores()
    try:
        lines = (PROC / "cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return f"{cores} core{'' if cores == 1 else 's'}, {names[0] if names else 'unknown processor'}"


def _is_local(host: str) -> bool:
    try:
        addresses = {info[4][0] for info in socket.getaddrinfo(host, None)}
    except OSError:
        return False
    return any(str(address).startswith("127.") or address == "::1" for address in addresses)


def _open_files(process: Path) -> set[str]:
    try:
        files = os.listdir(process / "fd")
    except OSError:
        return set()  # another user's, or it has ended
    links = set()
    for file in files:
        with suppress(OSError):  # closed since
            links.add(os.readlink(process / "fd" / file))
    return links
