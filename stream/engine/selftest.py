"""Self-test at start: what this machine can carry, measured in about three seconds, longer where chunks are long.

1. Precision: int8 if the model directory has it, this machine runs it, and a step of `TRIAL` channels is
   faster than in float32.
2. Threads: one, or all cores, whichever carries more channels.
3. Capacity: from step times on an idle machine, estimate the most channels answered within `SHARE` of a
   chunk, and that `MEMORY` of the machine's memory holds. Rehearse that number beside a simulated event loop
   and clients (`stream.engine.rehearsal`), and lower it until it holds.

Channels hear the bundled recordings, so that decoding costs what it does on speech. Loading the model
is not counted in the three seconds.
"""

from __future__ import annotations

import itertools
import logging
import statistics
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stream.backends import Backend, load_backend
from stream.bundled import recordings
from stream.decoding.decoding import Decoding, Search
from stream.engine.engine import Engine
from stream.engine.front_end import FrontEndKind
from stream.engine.rehearsal import busy, rehearse
from stream.engine.resources import ProcessMemory, usable_cores
from stream.model.directory import INT8_GRAPHS, graph_names
from stream.model.network import Network
from stream.model.specification import ModelError
from stream.stage import Floats, Integers

logger = logging.getLogger(__name__)

SHARE = 0.8  # of a chunk's time; the rest is for messages on their way
# What 60 ms of a channel cost the server's event loop, audio in and text out, so that the loop is busy for
# half of the time where this fills `SHARE`: it computes for 27 us. Measured on 2 cores of an AMD EPYC with
# 700 to 1010 streams of the bundled model, 2026-11-29.
LOOP_SECONDS = 42e-6
BESIDE_SECONDS = 48e-6  # what event loop and load client compute for it there, 27 and 21 us
LINK_SECONDS = 14e-6  # what the engine's process computes for a chunk beside the step, its messages
MESSAGE_SECONDS = 0.06  # of audio in a client's message, also where a chunk is longer
PYTHON_SECONDS = 1.45e-3  # that `_python_seconds` measured there
TRIAL = 32
REPEATS = 3
MOST = 4096  # channels
MEMORY = 0.5  # of the machine's, for channels and the copies of them in a step
REHEARSAL_SECONDS = 0.6  # but a chunk at least
REHEARSALS = 8  # at most
LATE = 0.99  # of all chunks are answered in time


@dataclass(frozen=True)
class Plan:
    """How to run a model here.

    Attributes:
        backend, threads: for `stream.engine.engine.load_engine`.
        slots: channels that the machine carries in real time; at least 1.
        channel_bytes: memory that each of them takes (`stream.engine.engine.Engine`).
        late: seconds within which `LATE` of their chunks were answered when it was tried.
        steps: (channels, seconds of their step) as measured with them, ascending.
        tried: (backend, threads, seconds of a step of `TRIAL` channels) of all that were tried.
    """

    backend: str
    threads: int
    slots: int
    channel_bytes: int
    late: float
    steps: tuple[tuple[int, float], ...]
    tried: tuple[tuple[str, int, float], ...]

    def __str__(self) -> str:
        tried = ", ".join(
            f"{backend} on {threads}: {1e3 * seconds:.1f} ms"
            for backend, threads, seconds in self.tried
        )
        steps = ", ".join(f"{count}: {1e3 * seconds:.1f} ms" for count, seconds in self.steps)
        return (
            f"{self.slots} channels with {self.backend} on {self.threads} thread(s), "
            f"{LATE:.0%} of their chunks answered within {1e3 * self.late:.0f} ms, "
            f"{self.channel_bytes / 1e6:.2g} MB each; "
            f"a step of {TRIAL} channels takes with {tried}; channels and their step: {steps}"
        )


def self_test(
    network: Network,
    backend: str | None = None,
    decoding: Decoding | Search | None = None,
    front_end: FrontEndKind = "float",
) -> Plan:
    """Measure this machine with a model.

    Args:
        backend: the one to use; None: whichever the network has files for and is fastest.
        decoding, front_end: see `stream.engine.engine.Engine`.
    Raises:
        ModelError: no backend can compute the network.
    """
    cores = usable_cores()
    audio = np.concatenate([utterance.read() for utterance in recordings()])
    loaded = {backend: load_backend(backend, network)} if backend else load_available(network)

    def trial(computed: Backend) -> _Trial:
        return _Trial(network, computed, audio, decoding, front_end)

    single = {name: trial(computed) for name, computed in loaded.items()}
    seconds = {name: alone.step(TRIAL) for name, alone in single.items()}
    best = min(seconds, key=seconds.__getitem__)
    tried = [(name, 1, found) for name, found in seconds.items()]
    pace = _python_seconds() / PYTHON_SECONDS
    chunk = network.specification.encoder.chunk_seconds
    trials = {1: single[best]}
    if cores > 1 and best in ("onnx", "int8"):
        trials[cores] = trial(load_backend(best, network, cores))
        tried.append((best, cores, trials[cores].step(TRIAL)))
    channel_bytes = single[best].channel_bytes
    most = max(1, min(MOST, int(MEMORY * ProcessMemory().there() / (2 * channel_bytes))))
    plans = {
        count: capacity(each.step, chunk, count, cores, pace, most)
        for count, each in trials.items()
    }
    threads = max(plans, key=lambda count: plans[count][0])
    slots, steps = plans[threads]
    slots, late = trials[threads].rehearsed(slots, pace)
    return Plan(best, threads, slots, channel_bytes, late, steps, tuple(tried))


def _python_seconds() -> float:
    """Return how long the interpreter takes for some work: the pace of an event loop here."""

    def work() -> float:
        began, counts = time.process_time(), dict.fromkeys(range(256), 0)
        for number in range(20_000):
            counts[number & 255] = counts[number & 255] + len(str(number))
        return time.process_time() - began

    return min(work() for _ in range(5))


def capacity(
    step: Callable[[int], float],
    chunk: float,
    threads: int,
    cores: int,
    pace: float = 1.0,
    most: int = MOST,
) -> tuple[int, tuple[tuple[int, float], ...]]:
    """Find the most channels that rule 3 lets hope for, between the doublings that were measured.

    A step that takes all cores waits for what event loop and clients take of them: each of its
    operators ends with its slowest thread.

    Args:
        step: seconds of a step of so many channels.
        chunk: seconds of audio of a step.
        threads: that a step takes.
        cores: of the machine.
        pace: what the event loop takes here, over what it took where that was measured.
        most: channels.
    Returns:
        channels, at least 1, and (channels, seconds) as measured.
    """
    budget = SHARE * chunk

    def load(count: int | Integers, seconds: float | NDArray[np.float64]) -> Any:
        beside = BESIDE_SECONDS * pace * count / min(chunk, MESSAGE_SECONDS)  # cores
        lost = np.clip(beside - (cores - threads), 0.0, 0.99)
        engine = (seconds + LINK_SECONDS * pace * count) / (1.0 - lost)
        messages = max(1.0, chunk / MESSAGE_SECONDS)
        return np.maximum(engine, LOOP_SECONDS * pace * count * messages)

    measured: list[tuple[int, float]] = []
    count = min(TRIAL, most)
    while not measured or (load(*measured[-1]) < budget and measured[-1][0] < most):
        measured.append((count, step(count)))
        count = min(2 * count, most)
    if load(*measured[0]) > budget:
        measured.insert(0, (1, step(1)))
    counts = np.arange(1, measured[-1][0] + 1)
    seconds = np.interp(counts, [n for n, _ in measured], [found for _, found in measured])
    fitting = counts[load(counts, seconds) <= budget]
    return int(fitting[-1]) if fitting.size else 1, tuple(measured)


def load_available(network: Network) -> dict[str, Backend]:
    """Load the backends that a network has files for, the one that is commonly fastest last.

    int8 is left out, and that is logged, where this machine cannot run it.

    Raises:
        ModelError: float32 cannot be run.
    """
    path = network.path
    graphs = graph_names(network.specification)
    if path is None or not all((path / name).is_file() for name in graphs):
        return {"numpy": load_backend("numpy", network)}
    loaded = {"onnx": load_backend("onnx", network)}
    if (path / INT8_GRAPHS[0]).is_file():
        try:
            loaded["int8"] = load_backend("int8", network)
        except ModelError as error:
            logger.warning("float32 is served, for int8 cannot run here: %s", error)
    return loaded


class _Trial:
    """An engine on a trial.

    Args:
        audio: (n,) at 16 kHz; channels hear it from places of their own, round and round.
    """

    def __init__(
        self,
        network: Network,
        backend: Backend,
        audio: Floats,
        decoding: Decoding | Search | None,
        front_end: FrontEndKind,
    ) -> None:
        self._network, self._decoding, self._front_end = network, decoding, front_end
        self._backend, self._audio = backend, audio

    @property
    def channel_bytes(self) -> int:
        """The memory that a channel takes."""
        engine = Engine(self._network, self._backend, 1, self._decoding, self._front_end)
        return engine.channel_bytes

    def step(self, channels: int) -> float:
        """Return the seconds of a step of so many channels, the median of a few."""
        engine = Engine(self._network, self._backend, channels, self._decoding, self._front_end)
        heard = {}
        for slot in range(channels):
            engine.open()
            heard[slot] = self._chunks(slot * len(self._audio) // channels)
        seconds = []
        for _ in range(2 + REPEATS):  # the first primes the front end, the second allocates
            for slot, chunks in heard.items():
                engine.push(slot, next(chunks))
            began = time.perf_counter()
            engine.tick()
            seconds.append(time.perf_counter() - began)
        return statistics.median(seconds[2:])

    def rehearsed(self, channels: int, pace: float) -> tuple[int, float]:
        """Return how many channels, at most these, are answered in time; and how late, seconds."""
        chunk = self._network.specification.encoder.chunk_seconds
        budget, seconds = SHARE * chunk, max(REHEARSAL_SECONDS, chunk)
        for _ in range(REHEARSALS):
            engine = Engine(self._network, self._backend, channels, self._decoding, self._front_end)
            with busy(BESIDE_SECONDS * pace * channels / min(chunk, MESSAGE_SECONDS)):
                latencies = rehearse(engine, self._audio, seconds, LINK_SECONDS * pace)
            late = float(np.quantile(latencies, LATE))
            if late <= budget or channels == 1:
                break
            channels = max(1, int(channels * np.clip(budget / late, 0.7, 0.9)))
        return channels, late

    def _chunks(self, begin: int) -> Iterator[Floats]:
        size = self._network.specification.encoder.chunk_samples
        for n in itertools.count():
            at = (begin + n * size) % (len(self._audio) - size)
            yield self._audio[at : at + size]
