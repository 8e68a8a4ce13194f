"""Rehearsal: measure how late an engine answers live channels, in real time, on a machine with other work.

1. Every channel gives a chunk when its time has passed, and channels are spread evenly over this time.
2. Steps begin `APART_SECONDS` apart at least, as the server makes them (`server.engine.worker`).
3. Meanwhile other processes compute for as long as the server's event loop and its clients would for
   so many channels: an operator that is split over all cores waits for the one that they hold.
4. The latency of a chunk is from the moment it came to its result; a chunk that has none at the end
   counts with the time that it has waited.
"""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import numpy as np
from numpy.typing import NDArray

from stream.engine.engine import APART_SECONDS, Engine
from stream.front_end.log_mel import SAMPLE_RATE
from stream.stage import Samples

WARM_UP = 3  # chunks of each channel that do not count
SLICE_SECONDS = 2e-4  # that a busy process computes at a time, as long as some messages take
LONGEST = 60  # seconds that a busy process lives, if nobody ends it

# Slices are due by the clock and measured in CPU, so that lost ones are made up, as in an event loop.
BUSY = """
import sys, time
share, piece, longest = map(float, sys.argv[1:])
begin = time.perf_counter()
while (now := time.perf_counter() - begin) < longest:
    owed = share * now - time.process_time()
    if owed > 0:
        until = time.process_time() + piece
        while time.process_time() < until:
            pass
    else:
        time.sleep(piece / share)
"""


@contextmanager
def busy(cores: float) -> Iterator[list[subprocess.Popen[bytes]]]:
    """Keep other processes computing, for so many cores, until the block is left; yields them."""
    processes: list[subprocess.Popen[bytes]] = []
    with ExitStack() as stack:
        while cores > 0.0:
            share = min(cores, 1.0)
            arguments = (share, SLICE_SECONDS, LONGEST)
            process = subprocess.Popen([sys.executable, "-I", "-c", BUSY, *map(str, arguments)])
            stack.callback(process.wait)
            stack.callback(process.kill)
            processes.append(process)
            cores -= share
        yield processes


def rehearse(
    engine: Engine, audio: Samples, seconds: float, link_seconds: float = 0.0
) -> NDArray[np.float64]:
    """Play to every slot of an engine in real time.

    Args:
        engine: none of its slots is open; all are when this returns.
        audio: (n,) at 16 kHz; channels hear it from places of their own, round and round.
        seconds: how long chunks come, beside `WARM_UP`.
        link_seconds: what the messages of a chunk take of the thread that steps.
    Returns:
        the latency of each chunk after the first `WARM_UP` of its channel, seconds.
    """
    slots, size = engine.slots, engine.chunk_samples
    for _ in range(slots):
        engine.open()
    interval = size / SAMPLE_RATE / slots  # between two chunks: the n-th is of channel n mod slots
    total = WARM_UP * slots + int(seconds / interval)
    whole = len(audio) // size
    sent, answered = 0, np.zeros(slots, np.int64)
    latencies: list[float] = []
    begin = time.perf_counter()
    end = begin + total * interval
    while (now := time.perf_counter()) < end:
        for number in range(sent, min(total, int((now - begin) / interval) + 1)):
            channel, chunk = number % slots, number // slots
            at = (channel * whole // slots + chunk) % whole * size
            engine.push(channel, audio[at : at + size])
            sent = number + 1
        results = engine.tick()
        done = time.perf_counter()
        until = done + link_seconds * len(results)
        while done < until:
            done = time.perf_counter()
        for result in results:
            came = begin + (answered[result.slot] * slots + result.slot) * interval
            answered[result.slot] += 1
            if answered[result.slot] > WARM_UP:
                latencies.append(done - came)
        if not engine.pending():
            time.sleep(max(0.0, now + APART_SECONDS - done, min(interval, end - done)))
    now = time.perf_counter()
    numbers = np.arange(total)  # also those that this loop came too late to push
    chunks = numbers // slots
    waiting = numbers[(chunks >= answered[numbers % slots]) & (chunks >= WARM_UP)]
    return np.concatenate([latencies, now - (begin + waiting * interval)])
