"""Channels: one thread that steps the engine, and the way to it from the event loop.

The event loop moves bytes, this thread steps. `Channel.push`, `finish` and `close` put a command
into one queue and return at once; the thread runs all commands that wait, then one batched step,
and hands the results back to the loop in one call. Commands run in order, so a slot that is closed
here is free before the next channel asks for one. The engine is touched by its thread only, the
channels by the event loop only.

No sockets and no protocol: a channel is samples in, (samples,) float32, and `Result`s out. What the
operator wants to know is counted here, since all streams come by: the duration of steps, the time
from a whole chunk to its result, the audio that waits.

Faults:
1. The engine refuses one channel's samples: that channel fails, the others do not notice.
2. A step raises: nothing that it has done can be trusted, so the channels that were in it fail,
   each with a reason, and their slots are freed. New channels are taken.
3. `FAILED_STEPS` steps in a row raise: the engine is broken, no channel is taken any more, and
   `refusal()` says why. The process lives on, so that its operator can see that.
"""

from __future__ import annotations

import asyncio
import logging
import queue
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable
from functools import partial
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from server.histogram import Histogram
from stream.decoding.keywords import KeywordTrie
from stream.engine import CHUNK, Result
from stream.features import SAMPLE_RATE

__all__ = ["Channel", "Channels", "Stepper"]

FAILED_STEPS = 3
logger = logging.getLogger(__name__)


class Stepper(Protocol):
    """What is needed of a `stream.engine.Engine`."""

    def open(self, keywords: KeywordTrie | None = None) -> int | None: ...
    def push(self, slot: int, samples: NDArray[np.float32], /) -> None: ...
    def finish(self, slot: int, /) -> None: ...
    def restart(self, slot: int, *, keep_statistics: bool) -> None: ...
    def tick(self) -> list[Result]: ...
    def close(self, slot: int, /) -> None: ...
    def pending(self) -> bool: ...


class Channel:
    """One stream's way to its slot; made by `Channels.open`, used on the event loop only.

    Attributes:
        on_result: called with each result, in order.
        on_fault: called with a reason if the engine fails the channel, which is then closed.
        closed: whether the slot was given back.
        received: samples of its streams so far.
    """

    def __init__(
        self,
        channels: Channels,
        on_result: Callable[[Result], None],
        on_fault: Callable[[str], None],
        live: bool,
    ) -> None:
        self._channels = channels
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

    def push(self, samples: NDArray[np.float32]) -> None:
        """Give the engine samples: (samples,) float32 at 16 kHz."""
        whole = (self.received - self._before) // CHUNK
        self.received += len(samples)
        self._channels.received += len(samples)
        if self._live:
            chunks = (self.received - self._before) // CHUNK - whole
            self._complete.extend([time.monotonic()] * chunks)
        self._channels.command(self, partial(_EngineThread.push, channel=self, samples=samples))

    def favour(self, keywords: KeywordTrie) -> None:
        """Recognise with keywords; before the first sample only, for the stream begins anew."""
        self._channels.command(self, partial(_EngineThread.favour, channel=self, keywords=keywords))

    def finish(self) -> None:
        """Tell the engine that the stream has ended; the last `Result` has `last` set."""
        self._channels.command(self, partial(_EngineThread.finish, channel=self))

    def restart(self) -> None:
        """Begin a new stream in the slot, behind the last `Result` of the one before."""
        self._channels.command(self, partial(_EngineThread.restart, channel=self))

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
    """All channels of a server, on one engine.

    Args:
        load: makes the engine; called in the engine's thread, which `start` starts.
        slots: channels that may be open at a time; the engine has to have as many. Where only
            loading tells, `load` sets the attribute.

    Attributes:
        received: samples of all channels since the start.
        step_seconds: how long steps of the engine took.
        response_seconds: from when a live channel's chunk was whole to its result, both in the event
            loop.
    """

    def __init__(self, load: Callable[[], Stepper], slots: int = 0) -> None:
        self.slots = slots
        self._load = load
        self._open: set[Channel] = set()
        self._commands: _Commands = queue.SimpleQueue()
        self._thread: _EngineThread | None = None
        self._refusal: str | None = "the model is being loaded"
        self.received = 0
        self.step_seconds = Histogram()
        self.response_seconds = Histogram()

    @property
    def in_use(self) -> int:
        """Number of open channels."""
        return len(self._open)

    @property
    def backlog(self) -> float:
        """Audio that waits for its result, of all channels, seconds."""
        return sum(channel.backlog for channel in self._open)

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
        """Start the thread and wait until the engine is loaded; raises what loading raises."""
        loop = asyncio.get_running_loop()
        loaded: asyncio.Future[None] = loop.create_future()

        def on_loaded(error: Exception | None) -> None:
            if loaded.cancelled():
                return
            if error is None:
                loaded.set_result(None)
            else:
                loaded.set_exception(error)

        def on_loop(function: Callable[..., None], *arguments: object) -> None:
            loop.call_soon_threadsafe(function, *arguments)

        self._thread = _EngineThread(
            self._load,
            self._commands,
            on_loaded=partial(on_loop, on_loaded),
            on_results=partial(on_loop, self._deliver),
            on_fault=partial(on_loop, self._fail),
            on_end=partial(on_loop, self._break),
            step_seconds=self.step_seconds,
        )
        self._thread.start()
        await loaded
        self._refusal = None

    async def stop(self) -> None:
        """Fail the channels that are still open and end the thread."""
        self._break("the server is shutting down")
        self._commands.put(None)
        if self._thread is not None:
            await asyncio.to_thread(self._thread.join)

    def open(
        self,
        on_result: Callable[[Result], None],
        on_fault: Callable[[str], None],
        *,
        live: bool = True,
        keywords: KeywordTrie | None = None,
    ) -> Channel | None:
        """Take a slot; None where `refusal()` says why not.

        Args:
            on_result, on_fault: see `Channel`.
            live: whether its audio comes as it is spoken; what waits of an upload says nothing about
                response times.
            keywords: that its decoder favours.
        """
        if self.refusal() is not None:
            return None
        channel = Channel(self, on_result, on_fault, live)
        self._open.add(channel)
        self.command(channel, partial(_EngineThread.open, channel=channel, keywords=keywords))
        return channel

    def command(self, channel: Channel, run: Callable[[_EngineThread], None]) -> None:
        """Let the engine's thread run something for a channel, which fails if that raises."""
        self._commands.put((channel, run))

    def forget(self, channel: Channel) -> None:
        """Let go of a channel that has closed."""
        self._open.discard(channel)
        self.command(channel, partial(_EngineThread.close, channel=channel))

    def _deliver(self, results: list[tuple[Channel, Result]]) -> None:
        for channel, result in results:
            if not channel.closed:
                channel.deliver(result)

    def _fail(self, channels: Iterable[Channel], reason: str) -> None:
        for channel in channels:
            if not channel.closed:
                channel.close()
                channel.on_fault(reason)

    def _break(self, reason: str) -> None:
        self._refusal = reason
        self._fail(tuple(self._open), reason)


_Commands = queue.SimpleQueue[tuple[Channel, Callable[["_EngineThread"], None]] | None]


class _EngineThread(threading.Thread):
    """Loads the engine, then runs commands and steps until a command is None or the engine
    breaks."""

    def __init__(
        self,
        load: Callable[[], Stepper],
        commands: _Commands,
        *,
        on_loaded: Callable[[Exception | None], None],
        on_results: Callable[[list[tuple[Channel, Result]]], None],
        on_fault: Callable[[list[Channel], str], None],
        on_end: Callable[[str], None],
        step_seconds: Histogram,
    ) -> None:
        super().__init__(name="engine", daemon=True)
        self._load = load
        self._commands = commands
        self._on_loaded = on_loaded
        self._on_results = on_results
        self._on_fault = on_fault
        self._on_end = on_end
        self._step_seconds = step_seconds
        self._slots: dict[Channel, int] = {}
        self._channels: dict[int, Channel] = {}
        self._engine: Stepper

    def run(self) -> None:
        try:
            self._engine = self._load()
        except Exception as error:
            self._on_loaded(error)
            return
        self._on_loaded(None)
        failed = 0
        try:
            while self._run_commands():
                began = time.monotonic()
                try:
                    results = self._engine.tick()
                except Exception as error:
                    failed += 1
                    self._abandon(f"a step of the engine failed: {error}")
                    if failed == FAILED_STEPS:
                        raise
                    continue
                if results:
                    failed = 0
                    self._step_seconds.observe(time.monotonic() - began)
                    self._on_results([(self._channels[each.slot], each) for each in results])
        except Exception as error:
            logger.exception("the engine is broken; no channel is taken any more")
            self._on_end(f"the engine is broken: {error}")

    def _run_commands(self) -> bool:
        """Run the commands that wait, or wait for one if the engine has nothing to do."""
        wait = not self._engine.pending()
        while wait or not self._commands.empty():
            command = self._commands.get()
            if command is None:
                return False
            channel, run = command
            try:
                run(self)
            except Exception as error:
                logger.exception("the engine failed a channel")
                self._on_fault([channel], f"the engine failed: {error}")
            wait = False
        return True

    def _abandon(self, reason: str) -> None:
        logger.exception("a step of the engine failed; %d channels are closed", len(self._slots))
        self._on_fault(list(self._slots), reason)
        for channel in tuple(self._slots):
            self.close(channel)

    def open(self, channel: Channel, keywords: KeywordTrie | None = None) -> None:
        slot = self._engine.open(keywords)
        if slot is None:
            raise RuntimeError(f"no free slot beside {len(self._slots)} open channels")
        self._slots[channel] = slot
        self._channels[slot] = channel

    # A channel that failed has no slot, and its client may not know yet: what it says is ignored.

    def favour(self, channel: Channel, keywords: KeywordTrie) -> None:
        if channel in self._slots:
            self.close(channel)
            self.open(channel, keywords)

    def push(self, channel: Channel, samples: NDArray[np.float32]) -> None:
        if channel in self._slots:
            self._engine.push(self._slots[channel], samples)

    def finish(self, channel: Channel) -> None:
        if channel in self._slots:
            self._engine.finish(self._slots[channel])

    def restart(self, channel: Channel) -> None:
        if channel in self._slots:
            self._engine.restart(self._slots[channel], keep_statistics=False)

    def close(self, channel: Channel) -> None:
        if channel in self._slots:
            slot = self._slots.pop(channel)
            del self._channels[slot]
            self._engine.close(slot)
