"""The process of an engine: how it is started and ended, and its exit status in words."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable

import msgspec

from server.engine.ipc import EngineOptions, Ready
from server.stderr import log_descriptor

END_SECONDS = 5.0  # for a process to end by itself


class Worker:
    """The process that steps an engine at the other end of a link.

    Attributes:
        pid: of its process.
    """

    def __init__(self, link: socket.socket, options: EngineOptions) -> None:
        safe_path = ["-P"] if sys.flags.safe_path else []  # run what we are, not the folder's
        arguments = [str(link.fileno()), msgspec.json.encode(options).decode()]
        with link:
            self._process = subprocess.Popen(
                [sys.executable, *safe_path, "-m", "server.engine", *arguments],
                pass_fds=[link.fileno(), log_descriptor()],
                env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
            )
        self.pid = self._process.pid

    def kill(self) -> None:
        """Kill it."""
        self._process.kill()

    def end(self) -> str:
        """Wait until it has ended, after its link was closed; returns its status for the log."""
        try:
            status = self._process.wait(END_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            status = self._process.wait()
        return describe_status(status)


Start = Callable[[socket.socket, Ready | None], Worker]
"""Starts a worker and gives it its end of a link.

The second argument is what the previous worker had loaded: a restarted worker has the same slots, and
runs no self-test while other engines are working.
"""


def describe_status(status: int) -> str:
    """Return in words how a process has ended, from its exit status, or its signal as a negative one."""
    if status >= 0:
        return f"exit status {status}"
    try:
        name = signal.Signals(-status).name
    except ValueError:
        name = "of no name"
    return f"signal {-status}, {name}"


def in_process(options: EngineOptions) -> Start:
    """Return what starts `python -m server.engine` with the options of a model."""

    def start(link: socket.socket, before: Ready | None) -> Worker:
        if before is None:
            return Worker(link, options)
        chosen = before.about
        return Worker(
            link,
            msgspec.structs.replace(
                options, slots=before.slots, backend=chosen["backend"], threads=chosen["threads"]
            ),
        )

    return start
