"""Worker: steps an engine, at the other end of a link.

It runs in a process of its own (`server.engine`), so that neither process waits for the other's
interpreter lock: the event loop moves bytes, the worker steps. It runs all commands that wait, then
makes one batched step and reports its results in one frame. Commands run in order, so a slot that is
closed is free before the next channel asks for one. The worker ends when the link does.

Steps begin at least `stream.engine.engine.APART_SECONDS` apart. What comes meanwhile joins the next
batch: a step of twice the channels takes far less than twice the time, and otherwise the process would
take a whole core for steps of a few channels, which event loop and clients beside it need. A step that
takes longer is followed at once by the next, and so is one after which chunks are waiting, of files
or of streams that are behind.

Faults:
1. The engine refuses the samples of one channel: that channel fails, the others continue.
2. A step raises: its state cannot be trusted, so all channels fail, each with a reason, and their
   slots are freed. New channels can be opened.
3. `FAILED_STEPS` steps in a row raise: the engine is broken, and the process ends.
"""

from __future__ import annotations

import logging
import socket
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from server.engine import ipc
from stream.engine.engine import APART_SECONDS, Engine, Result
from stream.extras import MissingExtraError, explain_missing_extras
from stream.vocabulary import Alphabet

FAILED_STEPS = 3
READ_BYTES = 1 << 18
NO_SLOT = -1
logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Loaded:
    """A model that is ready.

    Attributes:
        engine: that steps it.
        slots: streams at a time, as many as the engine has.
        alphabet: what it spells.
        about: what `GET /model` tells of it, fit for JSON; `language` is its primary tag.
    """

    engine: Engine
    slots: int
    alphabet: Alphabet
    about: Mapping[str, Any]


def work(link: socket.socket, load: Callable[[], Loaded]) -> None:
    """Load an engine and step it until the link ends.

    Args:
        link: blocking; closed on return.
        load: makes the engine; what it raises is reported.
    """
    with link, suppress(OSError):  # the other side is gone
        _work(link, load)


def _work(link: socket.socket, load: Callable[[], Loaded]) -> None:
    try:
        with explain_missing_extras():
            loaded = load()
    except Exception as error:
        missing = isinstance(error, MissingExtraError)
        link.sendall(ipc.frame([ipc.Unloadable(str(error) or repr(error), missing)]))
        return
    chunk = loaded.engine.chunk_samples
    ready = ipc.Ready(loaded.slots, chunk, loaded.alphabet, dict(loaded.about))
    link.sendall(ipc.frame([ready]))
    worker = _Worker(link, loaded.engine)
    try:
        worker.run()
    except OSError:
        raise
    except Exception as error:
        logger.exception("the engine is broken")
        link.sendall(ipc.frame([ipc.Broken(str(error) or repr(error))]))


class _Worker:
    def __init__(self, link: socket.socket, engine: Engine) -> None:
        self._link = link
        self._engine = engine
        self._frames = ipc.Frames()
        self._buffer = memoryview(bytearray(READ_BYTES))
        self._slots: dict[int, int] = {}  # by channel
        self._channels: dict[int, int] = {}  # by slot

    def run(self) -> None:
        """Run commands and step until the link ends; raises what breaks the engine."""
        failed = 0
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
                seconds = time.monotonic() - began
                self._report_step(seconds, results)
                if not self._engine.pending():
                    time.sleep(max(0.0, APART_SECONDS - seconds))

    def _run_commands(self) -> bool:
        """Run the commands that wait, or wait for some if the engine has nothing to do.

        Returns:
            False where there will be no more.
        """
        flags = socket.MSG_DONTWAIT if self._engine.pending() else 0
        while True:
            try:
                count = self._link.recv_into(self._buffer, flags=flags)
            except BlockingIOError:
                return True
            if not count:
                return False
            for payload in self._frames.feed(self._buffer[:count]):
                for command in ipc.read_commands(payload):
                    self._run(command)
            flags = socket.MSG_DONTWAIT

    def _run(self, command: ipc.Command) -> None:
        match command:
            case ipc.Push():
                self._push(command)
            case ipc.Probe():
                self._report(ipc.Alive())
            case _:
                self._try(command.channel, self._run_for_channel, command)

    def _run_for_channel(
        self, command: ipc.Open | ipc.Finish | ipc.Restart | ipc.Close | ipc.EndAfter
    ) -> None:
        slot = self._slots.get(command.channel)
        match command:
            case ipc.Open():
                self._open(command)
            case ipc.Close():
                self._close(command.channel)
            case _ if slot is None:
                pass  # the channel failed, and its client may not know yet
            case ipc.Finish():
                self._engine.finish(slot)
            case ipc.Restart():
                # The next utterance is mostly the same speaker's: on AN4's development and test
                # sentences, one stream a speaker, the bundled model's WER is 32.7 % with fresh
                # statistics and 32.0 % with those that were kept.
                self._engine.restart(slot, keep_statistics=True)
            case ipc.EndAfter():
                self._engine.end_after(slot, command.silence)

    def _push(self, command: ipc.Push) -> None:
        """Hand in samples: at once where all channels have one chunk, else one by one."""
        samples, counts = command.samples, command.counts
        slots = [self._slots.get(channel, NO_SLOT) for channel in command.channels]
        chunk = self._engine.chunk_samples
        if counts.count(chunk) == len(counts) == len(set(slots)) and NO_SLOT not in slots:
            with suppress(ValueError):  # of one of them; which one is found out below
                self._engine.push_chunks(slots, samples.reshape(-1, chunk))
                return
        begin = 0
        for channel, slot, count in zip(command.channels, slots, counts, strict=True):
            if channel in self._slots:
                self._try(channel, self._engine.push, slot, samples[begin : begin + count])
            begin += count

    def _try(self, channel: int, call: Callable[..., None], *arguments: Any) -> None:
        """Call something for a channel, which fails where that raises."""
        try:
            call(*arguments)
        except Exception as error:
            logger.exception("the engine failed a channel")
            self._close(channel)
            self._report(ipc.Failed([channel], f"the engine failed: {error}"))

    def _open(self, command: ipc.Open) -> None:
        slot = self._engine.open(command.keywords or None)
        if slot is None:
            raise RuntimeError(f"no free slot beside {len(self._slots)} open channels")
        self._slots[command.channel] = slot
        self._channels[slot] = command.channel

    def _close(self, channel: int) -> None:
        slot = self._slots.pop(channel, None)
        if slot is not None:
            del self._channels[slot]
            self._engine.close(slot)

    def _report_step(self, seconds: float, results: Sequence[Result]) -> None:
        silent, channels, others = [], [], []
        for result in results:
            if result.silent:
                silent.append(self._channels[result.slot])
            else:
                channels.append(self._channels[result.slot])
                others.append(result)
        self._report(ipc.Stepped(seconds, silent, channels, others))

    def _abandon(self, reason: str) -> None:
        channels = list(self._slots)
        logger.exception("a step of the engine failed; %d channels are closed", len(channels))
        for channel in channels:
            self._close(channel)
        self._report(ipc.Failed(channels, reason))

    def _report(self, report: ipc.Report) -> None:
        self._link.sendall(ipc.frame([report]))
