"""Channels: the event loop's side of an engine that a worker steps in a process of its own.

A channel is samples in, (samples,) at 16 kHz, and `Result`s out; no sockets of clients and no protocol.
`Channel.push`, `finish` and `close` put a command aside and return at once; what one round of the event
loop has put aside goes over the link in one frame. Channels are touched by the event loop only.

What the operator wants to know is counted here, since all streams come by: the duration of steps, the
time from a whole chunk to its result, the audio that waits.

The worker fails one channel, or all that were in a step (`server.engine.worker`), and those are closed with a
reason. If it breaks, hangs, or its process ends, all channels are, and none is taken until it is restarted
(`server.engine.supervisor`).
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable, Iterable, Mapping

import numpy as np

from server.engine.ipc import (
    Close,
    Command,
    EndAfter,
    Failed,
    Finish,
    Open,
    Push,
    Ready,
    Restart,
    Stepped,
)
from server.engine.process import Start
from server.engine.supervision import Supervision
from server.engine.supervisor import Supervisor
from server.histogram import Histogram
from server.protocol.states import NO_KEYWORDS
from stream.engine.engine import CHUNK, Result
from stream.front_end.log_mel import SAMPLE_RATE
from stream.stage import Samples

__all__ = ["Channel", "Channels"]


class Channel:
    """One stream's way to its slot; made by `Channels.open`, used on the event loop only.

    What is asked of a channel that has closed is not passed on: its owner may not know yet.

    Attributes:
        number: of the channel, on the link.
        on_result: called with each result, in order.
        on_fault: called with a reason if the engine fails the channel, which is then closed.
        closed: whether the slot was given back.
        received: samples of its streams so far.
        silent: for how long it has been owed a result and got none, seconds; the channels count it.
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
        self.silent = 0.0
        self._live = live
        self._ending = False
        self._before = 0  # samples of the streams before this one
        self._answered = 0  # samples of all streams that have a result
        self._complete: deque[float] = deque()  # when each chunk that waits was whole

    @property
    def backlog(self) -> float:
        """Audio that waits for its result, in whole chunks, seconds."""
        return (self.received - self._answered) // CHUNK * CHUNK / SAMPLE_RATE

    @property
    def owed(self) -> bool:
        """Whether the engine owes it a result."""
        return self._ending or self.received - self._answered >= CHUNK

    def push(self, samples: Samples) -> None:
        """Give the engine samples: (samples,) at 16 kHz, float32, or int16 of full scale."""
        whole = (self.received - self._before) // CHUNK
        self.received += len(samples)
        self._channels.received += len(samples)
        if self._live:
            chunks = (self.received - self._before) // CHUNK - whole
            self._complete.extend([time.monotonic()] * chunks)
        wide = samples.dtype != np.int16
        self._tell(Push(self.number, samples.tobytes(), wide))

    def favour(self, keywords: Mapping[str, float]) -> None:
        """Recognise with keywords; before the first sample only, for the stream begins anew."""
        self._tell(Close(self.number), Open(self.number, dict(keywords)))

    def end_after(self, silence: float | None) -> None:
        """Let utterances end after so many seconds without text, in what is pushed from now on."""
        self._tell(EndAfter(self.number, silence))

    def finish(self) -> None:
        """Tell the engine that the stream has ended; the last `Result` has `last` set."""
        self._ending = True
        self._tell(Finish(self.number))

    def restart(self) -> None:
        """Begin a new stream in the slot, behind the last `Result` of the one before."""
        self._tell(Restart(self.number))

    def deliver(self, result: Result) -> None:
        """Take a result, for the channels."""
        self.silent = 0.0
        if result.last:
            self._ending = False
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

    def _tell(self, *commands: Command) -> None:
        if not self.closed:
            for command in commands:
                self._channels.command(command)


class Channels:
    """All channels of one model.

    Args:
        start: starts the worker.
        name: of the model, for the log.
        supervision: how patient the server is with the worker.

    Attributes:
        engine: the worker's life.
        received: samples of all channels since the start.
        step_seconds: how long steps of the engine took.
        response_seconds: from when a live channel's chunk was whole to its result, both in the event
            loop.
    """

    def __init__(
        self, start: Start, name: str = "general", supervision: Supervision | None = None
    ) -> None:
        self.engine = Supervisor(start, self, name, supervision or Supervision())
        self.received = 0
        self.step_seconds = Histogram()
        self.response_seconds = Histogram()
        self._refusal: str | None = "the model is being loaded"
        self._open: dict[int, Channel] = {}
        self._number = 0  # of the latest channel
        self._commands: list[Command] = []  # of this round of the event loop
        self._loop: asyncio.AbstractEventLoop

    @property
    def ready(self) -> Ready:
        """What the worker has loaded; to be asked for where a channel could be opened."""
        assert self.engine.ready is not None
        return self.engine.ready

    @property
    def slots(self) -> int:
        """Number of channels that may be open at a time; 0 until that is known."""
        return self.engine.ready.slots if self.engine.ready else 0

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
        return not (self._refusal or self.engine.fault()) and len(self._open) >= self.slots

    def refusal(self) -> str | None:
        """Return why no channel can be opened now, None where one can."""
        if self.full:
            return f"all {self.slots} channels are in use"
        return self._refusal or self.engine.fault()

    async def start(self) -> None:
        """Start the worker, wait until the engine is loaded, and supervise it from then on.

        Raises:
            LoadError: it cannot be.
        """
        self._loop = asyncio.get_running_loop()
        await self.engine.start()
        self._refusal = None

    async def stop(self) -> None:
        """Fail the channels that are still open and end the worker."""
        self._refusal = self._refusal or "the server is shutting down"
        self.fail_all("the server is shutting down")
        await self.engine.stop()

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

    # For the supervisor.

    def receive(self, report: Stepped | Failed) -> None:
        """Hand out the results of a step, or close the channels that the engine failed."""
        if isinstance(report, Failed):
            self._fail(report.channels, report.reason)
            return
        self.step_seconds.observe(report.seconds)
        for number, result in zip(report.channels, report.results, strict=True):
            channel = self._open.get(number)
            if channel is not None:
                channel.deliver(result)

    def silence(self, seconds: float) -> float:
        """Take note that so much time has passed; returns for how long a channel has been owed a result."""
        longest = 0.0
        for channel in self._open.values():
            channel.silent = channel.silent + seconds if channel.owed else 0.0
            longest = max(longest, channel.silent)
        return longest

    def fail_all(self, reason: str) -> int:
        """Close all channels; returns how many."""
        numbers = tuple(self._open)
        self._fail(numbers, reason)
        return len(numbers)

    def _fail(self, numbers: Iterable[int], reason: str) -> None:
        for number in numbers:
            channel = self._open.get(number)
            if channel is not None:
                channel.close()
                channel.on_fault(reason)

    def _send(self) -> None:
        commands, self._commands = self._commands, []
        self.engine.send(commands)
