"""Channels: the event loop's side of an engine that a worker steps in a process of its own.

A channel is samples in, (samples,) at 16 kHz, and `Result`s out; no sockets of clients and no protocol.
`Channel.push`, `finish` and `close` put a command aside and return at once; what one round of the event
loop has put aside goes over the link in one frame. Channels are touched by the event loop only.

What the operator wants to know is counted here, since all streams come by: the duration of steps, the
time from a whole chunk to its result, the audio that waits.

The worker fails one channel, or all that were in a step (`server.worker`), and those are closed with a
reason. If it breaks, or its process ends, no channel is taken any more and `refusal()` says why; the
server lives on, so that its operator can see that.
"""

from __future__ import annotations

import asyncio
import os
import socket
import subprocess
import sys
import time
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from typing import Protocol

import numpy as np

from server.histogram import Histogram
from server.link import (
    Broken,
    Close,
    Command,
    Failed,
    Finish,
    Frames,
    Open,
    Push,
    Ready,
    Restart,
    Stepped,
    Unloadable,
    frame,
    read_reports,
)
from server.protocol import NO_KEYWORDS
from server.stderr import log_descriptor
from stream.engine import CHUNK, Result
from stream.features import SAMPLE_RATE
from stream.rings import Samples

__all__ = ["Channel", "Channels", "LoadError", "Start", "Worker", "in_process"]

END_SECONDS = 5.0  # for a worker's process to end by itself


class LoadError(Exception):
    """A model that cannot be served.

    Attributes:
        missing: whether a package is missing that it needs.
    """

    def __init__(self, reason: str, missing: bool = False) -> None:
        super().__init__(reason)
        self.missing = missing


class Worker(Protocol):
    """What steps an engine at the other end of a link.

    Attributes:
        pid: of its process.
    """

    pid: int

    def end(self) -> None:
        """Wait until it has ended, after its link was closed."""
        ...


Start = Callable[[socket.socket], Worker]
"""Starts a worker at its end of a link, which becomes its own."""


class _Process:
    def __init__(self, link: socket.socket, order: str) -> None:
        safe_path = ["-P"] if sys.flags.safe_path else []  # run what we are, not the folder's
        self._process = subprocess.Popen(
            [sys.executable, *safe_path, "-m", "server.engine", str(link.fileno()), order],
            pass_fds=[link.fileno(), log_descriptor()],
            env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
        )
        link.close()
        self.pid = self._process.pid

    def end(self) -> None:
        try:
            self._process.wait(END_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()


def in_process(order: str) -> Start:
    """Return what starts `python -m server.engine` with an order for a model."""
    return lambda link: _Process(link, order)


class Channel:
    """One stream's way to its slot; made by `Channels.open`, used on the event loop only.

    Attributes:
        number: of the channel, on the link.
        on_result: called with each result, in order.
        on_fault: called with a reason if the engine fails the channel, which is then closed.
        closed: whether the slot was given back.
        received: samples of its streams so far.
    """

    def __init__(
        self,
        channels: Channels,
        number: int,
        on_result: Callable[[Result], None],
        on_fault: Callable[[str], None],
        live: bool,
    ) -> None:
        self._channels = channels
        self.number = number
        self.on_result = on_result
        self.on_fault = on_fault
        self.closed = False
        self.received = 0
        self._live = live
        self._before = 0  # samples of the streams before this one
        self._answered = 0  # samples of all streams that have a result
        self._complete: deque[float] = deque()  # when each chunk that waits was whole

    @property
    def backlog(self) -> float:
        """Audio that waits for its result, in whole chunks, seconds."""
        return (self.received - self._answered) // CHUNK * CHUNK / SAMPLE_RATE

    def push(self, samples: Samples) -> None:
        """Give the engine samples: (samples,) at 16 kHz, float32, or int16 of full scale."""
        whole = (self.received - self._before) // CHUNK
        self.received += len(samples)
        self._channels.received += len(samples)
        if self._live:
            chunks = (self.received - self._before) // CHUNK - whole
            self._complete.extend([time.monotonic()] * chunks)
        wide = samples.dtype != np.int16
        self._channels.command(Push(self.number, samples.tobytes(), wide))

    def favour(self, keywords: Mapping[str, float]) -> None:
        """Recognise with keywords; before the first sample only, for the stream begins anew."""
        self._channels.command(Close(self.number))
        self._channels.command(Open(self.number, dict(keywords)))

    def finish(self) -> None:
        """Tell the engine that the stream has ended; the last `Result` has `last` set."""
        self._channels.command(Finish(self.number))

    def restart(self) -> None:
        """Begin a new stream in the slot, behind the last `Result` of the one before."""
        self._channels.command(Restart(self.number))

    def deliver(self, result: Result) -> None:
        """Take a result, for the channels."""
        if result.last:
            self._before = self._answered = self.received
            self._complete.clear()
        else:
            self._answered += CHUNK
            if self._complete:
                self._channels.response_seconds.observe(time.monotonic() - self._complete.popleft())
        self.on_result(result)

    def close(self) -> None:
        """Give the slot back. Nothing is called back afterwards; a second call does nothing."""
        if not self.closed:
            self.closed = True
            self._channels.forget(self)


class Channels:
    """All channels of one model.

    Args:
        start: starts the worker.

    Attributes:
        lost: why no channel will ever be opened again, None while one may be.
        received: samples of all channels since the start.
        step_seconds: how long steps of the engine took.
        response_seconds: from when a live channel's chunk was whole to its result, both in the event
            loop.
    """

    def __init__(self, start: Start) -> None:
        self.lost: str | None = None
        self.received = 0
        self.step_seconds = Histogram()
        self.response_seconds = Histogram()
        self._start = start
        self._ready: Ready | None = None
        self._refusal: str | None = "the model is being loaded"
        self._open: dict[int, Channel] = {}
        self._number = 0  # of the latest channel
        self._worker: Worker | None = None
        self._link: asyncio.Transport | None = None
        self._commands: list[Command] = []  # of this round of the event loop
        self._loop: asyncio.AbstractEventLoop

    @property
    def ready(self) -> Ready:
        """What the worker has loaded; to be asked for where a channel could be opened."""
        assert self._ready is not None
        return self._ready

    @property
    def slots(self) -> int:
        """Number of channels that may be open at a time; 0 until that is known."""
        return self._ready.slots if self._ready else 0

    @property
    def pid(self) -> int | None:
        """The worker's process, where there is one."""
        return self._worker.pid if self._worker else None

    @property
    def in_use(self) -> int:
        """Number of open channels."""
        return len(self._open)

    @property
    def backlog(self) -> float:
        """Audio that waits for its result, of all channels, seconds."""
        return sum(channel.backlog for channel in self._open.values())

    @property
    def full(self) -> bool:
        """Whether nothing but its streams keeps a channel from being opened."""
        return self._refusal is None and len(self._open) >= self.slots

    def refusal(self) -> str | None:
        """Return why no channel can be opened now, None where one can."""
        if self.full:
            return f"all {self.slots} channels are in use"
        return self._refusal

    async def start(self) -> None:
        """Start the worker and wait until the engine is loaded.

        Raises:
            LoadError: it cannot be.
        """
        self._loop = asyncio.get_running_loop()
        ours, theirs = socket.socketpair()
        ours.setblocking(False)
        self._worker = self._start(theirs)
        loaded: asyncio.Future[Ready] = self._loop.create_future()
        self._link, _ = await self._loop.create_unix_connection(
            lambda: _Link(self, loaded), sock=ours
        )
        self._ready = await loaded
        self._refusal = None

    async def stop(self) -> None:
        """Fail the channels that are still open and end the worker."""
        self.fail_all("the server is shutting down")
        if self._link is not None:
            self._link.close()
        if self._worker is not None:
            await asyncio.to_thread(self._worker.end)
            self._worker = None

    def open(
        self,
        on_result: Callable[[Result], None],
        on_fault: Callable[[str], None],
        *,
        live: bool = True,
        keywords: Mapping[str, float] = NO_KEYWORDS,
    ) -> Channel | None:
        """Take a slot; None where `refusal()` says why not.

        Args:
            on_result, on_fault: see `Channel`.
            live: whether its audio comes as it is spoken; what waits of an upload says nothing about
                response times.
            keywords: boost of each, that its decoder favours.
        """
        if self.refusal() is not None:
            return None
        self._number += 1
        channel = Channel(self, self._number, on_result, on_fault, live)
        self._open[self._number] = channel
        self.command(Open(self._number, dict(keywords)))
        return channel

    def command(self, command: Command) -> None:
        """Put a command aside for the worker."""
        if not self._commands:
            self._loop.call_soon(self._send)
        self._commands.append(command)

    def forget(self, channel: Channel) -> None:
        """Let go of a channel that has closed."""
        if self._open.pop(channel.number, None) is not None:
            self.command(Close(channel.number))

    def deliver(self, stepped: Stepped) -> None:
        """Hand out the results of a step, for the link."""
        self.step_seconds.observe(stepped.seconds)
        for number, result in zip(stepped.channels, stepped.results, strict=True):
            channel = self._open.get(number)
            if channel is not None:
                channel.deliver(result)

    def fail(self, numbers: Iterable[int], reason: str) -> None:
        """Close some channels, those that are still open, because the engine failed them."""
        for number in numbers:
            channel = self._open.get(number)
            if channel is not None:
                channel.close()
                channel.on_fault(reason)

    def fail_all(self, reason: str) -> None:
        """Close all channels, and refuse those to come, for the first reason there was."""
        if self._refusal is None or self._ready is None:
            self._refusal = reason
        self.fail(tuple(self._open), reason)

    def lose_worker(self, reason: str) -> None:
        """Close all channels because there is nobody to step them any more."""
        self.lost = self.lost or reason
        self.fail_all(reason)

    def _send(self) -> None:
        commands, self._commands = self._commands, []
        if self._link is not None and not self._link.is_closing():
            self._link.write(frame(commands))


class _Link(asyncio.Protocol):
    """The event loop's end of a link.

    Args:
        channels: whose it is.
        loaded: set when the worker has said whether it is ready.
    """

    def __init__(self, channels: Channels, loaded: asyncio.Future[Ready]) -> None:
        self._channels = channels
        self._loaded = loaded
        self._frames = Frames()

    def data_received(self, data: bytes) -> None:
        for payload in self._frames.feed(data):
            for report in read_reports(payload):
                if isinstance(report, Stepped):
                    self._channels.deliver(report)
                elif isinstance(report, Failed):
                    self._channels.fail(report.channels, report.reason)
                elif isinstance(report, Broken):
                    self._channels.lose_worker(report.reason)
                elif not self._loaded.done():
                    if isinstance(report, Unloadable):
                        self._loaded.set_exception(LoadError(report.reason, report.missing))
                    else:
                        self._loaded.set_result(report)

    def connection_lost(self, error: Exception | None) -> None:
        reason = "the engine's process has ended"
        if self._loaded.done():
            self._channels.lose_worker(reason)
        else:
            self._loaded.set_exception(LoadError(f"{reason} before the model was loaded"))
