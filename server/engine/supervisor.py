"""Supervisor: starts the worker of an engine, watches it, and restarts it.

The rules are in `server.engine.supervision`. A worker that no longer works is killed; its channels are
closed, and one line of the log says what happened, its exit status or signal, and when it is restarted.
Loading happens in the worker's process, so that the event loop serves other models meanwhile.
"""

from __future__ import annotations

import asyncio
import logging
import socket
from typing import Protocol, cast

from server.engine import ipc
from server.engine.process import Start, Worker
from server.engine.supervision import FORGET_SECONDS, KILLED, Restarts, Supervision
from stream.errors import InputError

logger = logging.getLogger(__name__)


class LoadError(InputError):
    """A model cannot be served.

    Attributes:
        missing: whether a package is missing that it needs.
    """

    def __init__(self, reason: str, missing: bool = False) -> None:
        super().__init__(reason)
        self.missing = missing


class Listener(Protocol):
    """The channels of the engine, as `server.engine.channels.Channels`."""

    def receive(self, report: ipc.Stepped | ipc.Failed) -> None:
        """Take the results of a step, or a failure."""

    def wait(self, seconds: float) -> float:
        """Count so much time; returns for how long a channel has waited for a result at most."""

    def fail_all(self, reason: str) -> int:
        """Close all channels; returns how many."""


class Supervisor:
    """Supervises the engine of one model, over all its workers.

    Args:
        start: starts a worker.
        listener: gets its reports.
        name: of the model, for the log.
        supervision: time limits.

    Attributes:
        ready: what the latest worker has loaded; None before the first one has.
        restarts: since the start.
    """

    def __init__(
        self, start: Start, listener: Listener, name: str, supervision: Supervision
    ) -> None:
        self.ready: ipc.Ready | None = None
        self.restarts = 0
        self._start = start
        self._listener = listener
        self._name = name
        self._supervision = supervision
        self._fault: str | None = None
        self._silence = 0.0  # seconds, rule 1
        self._worker: Worker | None = None
        self._link: _Link | None = None
        self._task: asyncio.Task[str] | None = None

    @property
    def pid(self) -> int | None:
        """The worker's process; None where there is none."""
        return self._worker.pid if self._worker else None

    def fault(self) -> str | None:
        """Return why the engine does not work now; None if it does, or is being loaded at the start."""
        if self._fault is None and self._silence >= self._supervision.hang_seconds:
            return f"the engine has not answered for {self._silence:.0f} s"
        return self._fault

    def send(self, commands: bytes | bytearray) -> None:
        """Send a frame of commands to the worker, if there is one."""
        if self._link is not None:
            self._link.write(commands)

    async def start(self) -> None:
        """Start a worker, wait until the engine is loaded, and watch it from then on.

        Raises:
            LoadError: the engine cannot be loaded.
        """
        await self._load()
        self._task = asyncio.create_task(self._supervise())

    async def failure(self) -> str:
        """Wait until the started engine has failed too often, and return the message for the log."""
        assert self._task is not None
        return await asyncio.shield(self._task)

    async def stop(self) -> None:
        """Stop supervising, and end the worker."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])
        await self._end_worker()

    async def _load(self) -> None:
        """Start a worker and wait until the engine is loaded, or raise LoadError."""
        ours, theirs = socket.socketpair()
        ours.setblocking(False)
        try:
            self._worker = self._start(theirs, self.ready)
        except OSError as error:
            ours.close()
            theirs.close()
            raise LoadError(f"the engine's process cannot be started: {error}") from error
        self._link = link = _Link(self._listener)
        await asyncio.get_running_loop().create_unix_connection(lambda: link, sock=ours)
        waited = 0.0
        async for seconds in self._supervision.looks(link.loaded):
            waited += seconds
            if waited >= self._supervision.load_seconds and not link.loaded.done():
                self._worker.kill()
                how = await self._end_worker()
                raise LoadError(
                    f"model {self._name} was not loaded within {waited:.0f} s ({how}); "
                    "--load-seconds gives it more"
                )
        report = link.loaded.result()
        if not isinstance(report, ipc.Ready):
            how = await self._end_worker()
            if report is None:
                raise LoadError(f"the engine ended before model {self._name} was loaded: {how}")
            raise LoadError(report.reason, report.missing)
        self.ready, self._fault, self._silence = report, None, 0.0

    async def _supervise(self) -> str:
        """Watch and restart the worker until it has failed too often; returns the message for the log."""
        loop, restarts = asyncio.get_running_loop(), Restarts(self._supervision)
        while True:
            what = await self._watch()
            self._fault = f"the engine {what}"
            closed = self._listener.fail_all(f"the engine {what}; try again")
            what += f" ({await self._end_worker()}), streams closed: {closed}"
            while True:
                pause = restarts.pause(loop.time())
                if pause is None:
                    logger.error("model %s: the engine %s", self._name, what)
                    return (
                        f"the engine of model {self._name} failed more than "
                        f"{self._supervision.restarts} times within {FORGET_SECONDS:.0f} s"
                    )
                logger.error("model %s: the engine %s; restart in %g s", self._name, what, pause)
                await asyncio.sleep(pause)
                self.restarts += 1
                try:
                    await self._load()
                except LoadError as error:
                    self._fault = "the engine cannot be loaded again"  # peers need no path
                    what = f"cannot be loaded again: {error}"
                else:
                    logger.info(
                        "model %s: the engine works again, process %s", self._name, self.pid
                    )
                    break

    async def _watch(self) -> str:
        """Wait until the worker no longer works, and return what happened to it."""
        assert self._link is not None
        assert self._worker is not None
        link, hang_seconds, was_hung = self._link, self._supervision.hang_seconds, False
        async for seconds in self._supervision.looks(link.lost):
            self._silence = max(link.silence(seconds), self._listener.wait(seconds))
            hung = self._silence >= hang_seconds
            if hung and not was_hung:
                logger.warning("model %s: %s", self._name, self.fault())
            elif was_hung and not hung:
                logger.warning("model %s: the engine answers again", self._name)
            was_hung = hung
            if self._silence >= KILLED * hang_seconds and not link.lost.done():
                self._worker.kill()
                return f"did not answer for {self._silence:.0f} s and was killed"
        return link.lost.result()

    async def _end_worker(self) -> str:
        """End the worker and its link; returns its status."""
        link, worker = self._link, self._worker
        self._link = self._worker = None
        if link is not None:
            link.close()
        return "" if worker is None else await asyncio.to_thread(worker.end)


class _Link(asyncio.Protocol):
    """The event loop's end of a link to one worker.

    Args:
        listener: gets what comes of steps.

    Attributes:
        loaded: set to the worker's first report, or None if it ends before that.
        lost: set to what happened, when the worker no longer works.
    """

    def __init__(self, listener: Listener) -> None:
        loop = asyncio.get_running_loop()
        self.loaded: asyncio.Future[ipc.Ready | ipc.Unloadable | None] = loop.create_future()
        self.lost: asyncio.Future[str] = loop.create_future()
        self._listener = listener
        self._frames = ipc.Frames()
        self._transport: asyncio.Transport | None = None
        self._probed = False  # an answer is due
        self._silent = 0.0  # for so long, seconds

    def silence(self, seconds: float) -> float:
        """Count so much time; returns for how long a probe has had no answer."""
        if self._probed:
            self._silent += seconds
        else:
            self._probed, self._silent = True, 0.0
            self.write(ipc.frame([ipc.Probe()]))
        return self._silent

    def write(self, data: bytes | bytearray) -> None:
        """Send a frame to the worker, unless it is gone."""
        if self._transport is not None and not self._transport.is_closing():
            self._transport.write(data)

    def close(self) -> None:
        """Close the link, which ends the worker; unsent data is dropped."""
        if self._transport is not None:
            self._transport.abort()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        for payload in self._frames.feed(data):
            for report in ipc.read_reports(payload):
                self._receive(report)

    def _receive(self, report: ipc.Report) -> None:
        match report:
            case ipc.Stepped() | ipc.Failed():
                self._listener.receive(report)
            case ipc.Alive():
                self._probed, self._silent = False, 0.0
            case ipc.Broken():
                self._lose(f"is broken: {report.reason}")
            case ipc.Ready() | ipc.Unloadable() if not self.loaded.done():
                self.loaded.set_result(report)

    def connection_lost(self, error: Exception | None) -> None:
        if not self.loaded.done():
            self.loaded.set_result(None)
        self._lose("has ended")

    def _lose(self, what: str) -> None:
        if not self.lost.done():
            self.lost.set_result(what)
