from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from server.systemd import Notifier


@pytest.fixture(params=["path", "abstract"])
def manager(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[socket.socket, str]]:
    """A socket as systemd has one, and its address as NOTIFY_SOCKET has it."""
    named = str(tmp_path / "notify")
    if request.param == "abstract":
        named = f"@rill-test-{os.getpid()}-{tmp_path.name}"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        listener.bind(f"\0{named[1:]}" if named[0] == "@" else named)
        listener.setblocking(False)
        yield listener, named


def test_what_happens_is_said_one_datagram_each(manager: tuple[socket.socket, str]) -> None:
    listener, address = manager
    notifier = Notifier({"NOTIFY_SOCKET": address})
    with notifier.reloading():  # at the start it would say that it was ready
        pass
    notifier.ready()
    with notifier.reloading():
        pass
    notifier.stopping(3)
    with notifier.reloading():  # nor at the end
        pass
    assert listener.recv(500).splitlines()[0] == b"READY=1"
    reloading, monotonic = listener.recv(500).splitlines()
    assert reloading == b"RELOADING=1" and int(monotonic.removeprefix(b"MONOTONIC_USEC=")) > 0
    assert listener.recv(500).splitlines()[0] == b"READY=1"
    assert listener.recv(500).splitlines() == [b"STOPPING=1", b"STATUS=3 streams are finishing"]
    with pytest.raises(BlockingIOError):
        listener.recv(500)


async def test_the_watchdog_is_fed_as_long_as_the_loop_runs(
    manager: tuple[socket.socket, str],
) -> None:
    listener, address = manager
    notifier = Notifier({"NOTIFY_SOCKET": address, "WATCHDOG_USEC": "30000"})
    assert notifier.watchdog_seconds == 0.03
    task = asyncio.create_task(notifier.feed_watchdog())
    for _ in range(3):
        async with asyncio.timeout(5):
            said = await asyncio.get_running_loop().sock_recv(listener, 500)
        assert said == b"WATCHDOG=1"
    task.cancel()


@pytest.mark.parametrize(
    "variables",
    [
        {},
        {"WATCHDOG_USEC": "0"},
        {"WATCHDOG_USEC": "soon"},
        {"WATCHDOG_USEC": "1000", "WATCHDOG_PID": "1"},  # of another process
    ],
)
async def test_without_a_watchdog_none_is_fed(variables: dict[str, str]) -> None:
    notifier = Notifier(variables)
    assert notifier.watchdog_seconds is None
    await notifier.feed_watchdog()


def test_a_manager_that_is_gone_or_full_stops_nothing(manager: tuple[socket.socket, str]) -> None:
    listener, address = manager
    for _ in range(1000):  # more than the socket holds
        Notifier({"NOTIFY_SOCKET": address}).ready()
    listener.close()
    Notifier({"NOTIFY_SOCKET": address}).ready()
    Notifier({"NOTIFY_SOCKET": "/nowhere/at/all"}).ready()
