"""Channels: the event loop's side of an engine that a worker steps in a process of its own.

A channel is samples in, (samples,) at 16 kHz, and `Result`s out; it knows no clients and no protocol.
`push`, `finish`, `restart` and `close` return at once: the commands of one round of the event loop go
over the link in one frame. Channels are used by the event loop only.

The figures of an operator are counted here, since all streams pass: the duration of steps, the time
from a whole chunk to its result, the audio that waits.

The worker fails one channel, or all that were in a step (`server.engine.worker`); these are closed
with a reason. If it breaks, hangs, or its process ends, all channels are, and none can be opened until
it is restarted (`server.engine.supervisor`).
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Iterable, Mapping
from typing import Protocol

from server.engine import ipc
from server.engine.process import Start
from server.engine.supervision import Supervision
from server.engine.supervisor import Supervisor
from server.histogram import Histogram
from stream.engine.engine import Result
from stream.front_end.log_mel import SAMPLE_RATE
from stream.stage import Samples


class Owner(Protocol):
    """Whose stream a channel recognises."""

    def receive_result(self, result: Result) -> None:
        """Take the next result."""

    def receive_fault(self, reason: str) -> None:
        """Take note that the engine failed the channel, which is closed."""


class Channel:
    """One stream's way to its slot; made by `Channels.open`, used on the event loop only.

    Calls on a closed channel do nothing: its owner may not know yet.

    Attributes:
        number: of the channel, on the link.
        chunk: samples for each of which a result is due.
        owner: gets each result, in order, and the reason if the engine fails the channel.
        closed: whether the slot was given back.
        received: samples of its streams so far.
        waited: for how long a result has been due and none came, seconds; counted by `Channels`.
    """

    def __init__(self, channels: Channels, number: int, owner: Owner, live: bool) -> None:
        self._channels = channels
        self._outbox = channels.outbox
        self.chunk = channels.ready.chunk_samples
        self.number = number
        self.owner = owner
        self.closed = False
        self.received = 0
        self.waited = 0.0
        self._live = live
        self._finishing = False
        self._before = 0  # samples of the streams before this one
        self._answered = 0  # samples of all streams that have a result
        self._chunks = 0  # results of this stream
        self._complete: deque[float] = deque()  # when each chunk that waits was whole

    @property
    def backlog(self) -> float:
        """Audio that waits for its result, in whole chunks, seconds."""
        return (self.received - self._answered) // self.chunk * self.chunk / SAMPLE_RATE

    @property
    def due(self) -> bool:
        """Whether the engine has to send it a result."""
        return self._finishing or self.received - self._answered >= self.chunk

    def push(self, samples: Samples) -> None:
        """Give the engine samples: (samples,) at 16 kHz, float32, or int16 of full scale."""
        if self.closed:
            return
        count = len(samples)
        if self._live:
            begun = (self.received - self._before) % self.chunk
            if chunks := (begun + count) // self.chunk:
                self._complete.extend([time.monotonic()] * chunks)
        self.received += count
        self._outbox.push(self.number, samples)

    def set_hotwords(self, keywords: Mapping[str, float]) -> None:
        """Recognise with keywords; before the first sample only, for the stream is opened again."""
        if not self.closed:
            self._outbox.add(ipc.Close(self.number))
            self._outbox.add(ipc.Open(self.number, dict(keywords)))

    def end_after(self, silence: float | None) -> None:
        """End utterances after so many seconds without text, in what is pushed from now on."""
        if not self.closed:
            self._outbox.add(ipc.EndAfter(self.number, silence))

    def finish(self) -> None:
        """Finish the stream; its last `Result` has `last` set."""
        if not self.closed:
            self._finishing = True
            self._outbox.add(ipc.Finish(self.number))

    def restart(self) -> None:
        """Start a new stream in the slot, after the last `Result` of the one before."""
        if not self.closed:
            self._outbox.add(ipc.Restart(self.number))

    def close(self) -> None:
        """Give the slot back. The owner is not called any more; a second call does nothing."""
        if not self.closed:
            self.closed = True
            self._channels.forget(self)

    def take(self, result: Result | None, now: float) -> None:
        """Take a result, or None for a silent one, at this time of the monotonic clock."""
        self.waited = 0.0
        if result is None:
            start, end = self._chunks * self.chunk, (self._chunks + 1) * self.chunk
            result = Result(0, start / SAMPLE_RATE, end / SAMPLE_RATE, "", (), False)
        if result.last:
            self._finishing = False
            self._before = self._answered = self.received
            self._chunks = 0
            self._complete.clear()
        else:
            self._chunks += 1
            self._answered += self.chunk
            if self._complete:
                self._channels.response_seconds.observe(now - self._complete.popleft())
        self.owner.receive_result(result)


class Channels:
    """All channels of one model.

    Args:
        start: starts the worker.
        name: of the model, for the log.
        supervision: how patient the server is with the worker.

    Attributes:
        engine: supervises the worker.
        outbox: commands of this round of the event loop.
        step_seconds: how long steps of the engine took.
        response_seconds: from when a live channel's chunk was whole to its result, both in the event
            loop.
    """

    def __init__(
        self, start: Start, name: str = "general", supervision: Supervision | None = None
    ) -> None:
        self.engine = Supervisor(start, self, name, supervision or Supervision())
        self.step_seconds = Histogram()
        self.response_seconds = Histogram()
        self._refusal: str | None = "the model is being loaded"
        self._open: dict[int, Channel] = {}
        self._number = 0  # of the latest channel
        self.outbox = ipc.Outbox(self._send_soon)
        self._closed_received = 0  # samples of the channels that have closed
        self._loop: asyncio.AbstractEventLoop

    @property
    def ready(self) -> ipc.Ready:
        """What the worker has loaded; ask only where a channel could be opened."""
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
    def received(self) -> int:
        """Samples of all channels since the start."""
        return self._closed_received + sum(channel.received for channel in self._open.values())

    @property
    def full(self) -> bool:
        """Whether a channel cannot be opened only because all slots are taken."""
        return not (self._refusal or self.engine.fault()) and len(self._open) >= self.slots

    def refusal(self) -> str | None:
        """Return why no channel can be opened now, None where one can."""
        if self.full:
            return f"all {self.slots} channels are in use"
        return self._refusal or self.engine.fault()

    async def start(self) -> None:
        """Start the worker, wait until the engine is loaded, and supervise it from then on.

        Raises:
            LoadError: the engine cannot be loaded.
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
        self, owner: Owner, *, live: bool = True, keywords: Mapping[str, float] | None = None
    ) -> Channel | None:
        """Take a slot; None where `refusal()` says why not.

        Args:
            owner: gets the results.
            live: whether its audio comes as it is spoken; what waits of an upload says nothing about
                response times.
            keywords: the boost of each, for its decoder.
        """
        if self.refusal() is not None:
            return None
        self._number += 1
        channel = Channel(self, self._number, owner, live)
        self._open[self._number] = channel
        self.outbox.add(ipc.Open(self._number, dict(keywords or {})))
        return channel

    def forget(self, channel: Channel) -> None:
        """Let go of a channel that has closed, for the channel."""
        if self._open.pop(channel.number, None) is not None:
            self._closed_received += channel.received
            self.outbox.add(ipc.Close(channel.number))

    # For the supervisor.

    def receive(self, report: ipc.Stepped | ipc.Failed) -> None:
        """Hand out the results of a step, or close the channels that the engine failed."""
        if isinstance(report, ipc.Failed):
            self._fail(report.channels, report.reason)
            return
        self.step_seconds.observe(report.seconds)
        now, find = time.monotonic(), self._open.get
        for number in report.silent:
            if channel := find(number):
                channel.take(None, now)
        for number, result in zip(report.channels, report.results, strict=True):
            if channel := find(number):
                channel.take(result, now)

    def wait(self, seconds: float) -> float:
        """Count so much time; returns for how long a channel has waited for a result at most."""
        for channel in self._open.values():
            channel.waited = channel.waited + seconds if channel.due else 0.0
        return max((channel.waited for channel in self._open.values()), default=0.0)

    def fail_all(self, reason: str) -> int:
        """Close all channels; returns how many."""
        numbers = tuple(self._open)
        self._fail(numbers, reason)
        return len(numbers)

    def _fail(self, numbers: Iterable[int], reason: str) -> None:
        for number in numbers:
            if channel := self._open.get(number):
                channel.close()
                channel.owner.receive_fault(reason)

    def _send_soon(self) -> None:
        """Send what is in the outbox at the end of this round of the event loop."""
        self._loop.call_soon(lambda: self.engine.send(self.outbox.take()))
