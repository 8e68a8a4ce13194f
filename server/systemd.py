"""Notifications to systemd from a service of Type=notify: the protocol of sd_notify(3), a datagram per message.

The service is ready when a stream would be accepted. The event loop feeds the watchdog, so that a server that hangs
is restarted; engines are supervised by the server itself. Without NOTIFY_SOCKET nothing is sent.
"""

from __future__ import annotations

import asyncio
import os
import socket
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress


class Notifier:
    """Tells the service manager about this process.

    Args:
        environment: where systemd has put the address of its socket, and how patient its watchdog is.
    Attributes:
        watchdog_seconds: after which a silent service is restarted; None: there is no watchdog.
    """

    def __init__(self, environment: Mapping[str, str]) -> None:
        address = environment.get("NOTIFY_SOCKET", "")
        # "@" stands for a name in Linux's abstract namespace.
        self._address = f"\0{address[1:]}" if address.startswith("@") else address
        microseconds = environment.get("WATCHDOG_USEC", "")
        owner = environment.get("WATCHDOG_PID", str(os.getpid()))
        self._is_ready = False
        self.watchdog_seconds: float | None = None
        if microseconds.isdecimal() and int(microseconds) and owner == str(os.getpid()):
            self.watchdog_seconds = int(microseconds) / 1e6

    def ready(self) -> None:
        """Say that streams are accepted."""
        self._is_ready = True
        self._send("READY=1", "STATUS=streams are accepted")

    @contextmanager
    def reloading(self) -> Iterator[None]:
        """Say that files are being read again, and at the end of the context that they were.

        Before the service is ready nothing is said: the end would be taken for that of its start.
        """
        if self._is_ready:
            self._send("RELOADING=1", f"MONOTONIC_USEC={time.monotonic_ns() // 1000}")
        try:
            yield
        finally:
            if self._is_ready:
                self.ready()

    def stopping(self, streams: int) -> None:
        """Say that the service is ending, and how many streams it still has."""
        self._is_ready = False  # a reload from here on would be taken for a new start
        self._send("STOPPING=1", f"STATUS={streams} streams are finishing")

    async def feed_watchdog(self) -> None:
        """Say that the event loop runs, for as long as it does."""
        while self.watchdog_seconds is not None:
            self._send("WATCHDOG=1")
            await asyncio.sleep(self.watchdog_seconds / 3)

    def _send(self, *lines: str) -> None:
        if not self._address:
            return
        with (
            suppress(OSError),  # nobody listens any more; the service goes on
            socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender,
        ):
            sender.setblocking(False)
            sender.sendto("\n".join(lines).encode(), self._address)
