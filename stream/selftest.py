"""Self-test at start: what this machine can carry, measured within some two seconds.

1. Precision: int8 where the model directory has it (its export found it as good) and a step of
   `TRIAL` channels is faster than in float32.
2. Workers: processes of an engine each, whose steps take a thread; as many as carry the most channels
   together, and no more than it takes.
3. Capacity: the most channels with which neither a worker's step, front end to text, nor the event loop,
   which takes `LOOP_SECONDS` for each, takes more than `SHARE` of a chunk's time, nor all together
   more than `SHARE` of that time on all cores.

Channels hear the bundled recordings, so that decoding costs what it does on speech. Loading the model
is not counted in the two seconds.
"""

from __future__ import annotations

import itertools
import os
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from stream.audio import read_audio
from stream.backends import load_backend
from stream.bundled import recordings
from stream.decoding.channels import Decoding, Search
from stream.directory import GRAPHS, INT8_GRAPHS
from stream.engine import CHUNK, Engine
from stream.features import SAMPLE_RATE
from stream.network import Network

__all__ = [
    "Plan",
    "available_backends",
    "available_cores",
    "capacity",
    "measure",
    "self_test",
]

SHARE = 0.9  # of a chunk's time
# Of the server's event loop for a channel's chunk, audio in, text out. Measured on 2 cores of an AMD EPYC
# that it shared with engine and load client, 2026-11-21: 540 streams of the bundled model were the most
# at a CL99 of 60 ms; the loop computed for 60 us of this and waited for a core for the rest.
LOOP_SECONDS = 100e-6
TRIAL = 32
REPEATS = 3
MOST = 4096  # channels
CHUNK_SECONDS = CHUNK / SAMPLE_RATE


@dataclass(frozen=True)
class Plan:
    """How to run a model here.

    Attributes:
        backend: for `stream.engine.load_engine`.
        workers: engines to run side by side.
        slots: channels that they carry together in real time; at least 1.
        steps: (channels, seconds of their step) as measured, ascending.
        tried: (backend, seconds of a step of `TRIAL` channels) of all that were tried.
    """

    backend: str
    workers: int
    slots: int
    steps: tuple[tuple[int, float], ...]
    tried: tuple[tuple[str, float], ...]

    def __str__(self) -> str:
        tried = ", ".join(f"{backend}: {1e3 * seconds:.1f} ms" for backend, seconds in self.tried)
        steps = ", ".join(f"{count}: {1e3 * seconds:.1f} ms" for count, seconds in self.steps)
        return (
            f"{self.slots} channels with {self.backend} and {self.workers} worker(s); "
            f"a step of {TRIAL} channels takes with {tried}; channels and their step: {steps}"
        )


def self_test(
    network: Network,
    backend: str | None = None,
    decoding: Decoding | Search | None = None,
    workers: int | None = None,
) -> Plan:
    """Measure this machine with a model.

    Args:
        network: the model.
        backend: the one to use; None: whichever the network has files for and is fastest.
        decoding: greedy or beam search, and what goes with it; None: greedy.
        workers: so many; None: as rule 2 has it.
    Raises:
        ModelError: no backend can compute the network.
    """
    audio = np.concatenate([read_audio(utterance.audio) for utterance in recordings()])
    names = [backend] if backend else available_backends(network)
    trials = {name: _Trial(network, name, audio, decoding) for name in names}
    tried = {name: trial.step(TRIAL) for name, trial in trials.items()}
    best = min(tried, key=tried.__getitem__)
    cores = available_cores()
    steps = measure(trials[best].step)
    counts = [workers] if workers else range(1, cores + 1)
    slots = {count: capacity(steps, count, cores) for count in counts}
    most = max(slots, key=lambda count: (slots[count], -count))
    return Plan(best, most, slots[most], steps, tuple(tried.items()))


def available_cores() -> int:
    """Return how many cores this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def measure(step: Callable[[int], float]) -> tuple[tuple[int, float], ...]:
    """Measure steps of one channel and of more and more, until one takes too long.

    Args:
        step: seconds of a step of so many channels.
    Returns:
        (channels, seconds), ascending.
    """
    measured = [(1, step(1)), (TRIAL, step(TRIAL))]
    while measured[-1][1] < SHARE * CHUNK_SECONDS and measured[-1][0] < MOST:
        count = 2 * measured[-1][0]
        if LOOP_SECONDS * count > 2 * SHARE * CHUNK_SECONDS:
            break  # rule 3 allows fewer in any case
        measured.append((count, step(count)))
    return tuple(measured)


def capacity(steps: Sequence[tuple[int, float]], workers: int, cores: int) -> int:
    """Return the most channels that rule 3 allows, at least 1.

    Args:
        steps: as `measure` returns them.
        workers: that share the channels.
        cores: of the machine.
    """
    counts = np.arange(1, workers * steps[-1][0] + 1)
    step = np.interp(np.ceil(counts / workers), *np.array(steps).T)
    loop = LOOP_SECONDS * counts
    together = (workers * step + loop) / cores
    fits = np.maximum(np.maximum(step, loop), together) <= SHARE * CHUNK_SECONDS
    return int(counts[fits][-1]) if fits.any() else 1


def available_backends(network: Network) -> list[str]:
    """Return the backends that a network has files for, the one that is commonly fastest last."""
    path = network.path
    if path is None or not all((path / name).is_file() for name in GRAPHS):
        return ["numpy"]
    return ["onnx", "int8"] if (path / INT8_GRAPHS[0]).is_file() else ["onnx"]


class _Trial:
    """An engine on a trial.

    Args:
        audio: (n,) at 16 kHz; channels hear it from places of their own, round and round.
    """

    def __init__(
        self,
        network: Network,
        backend: str,
        audio: NDArray[np.float32],
        decoding: Decoding | Search | None,
    ) -> None:
        self._network, self._decoding = network, decoding
        self._backend = load_backend(backend, network)
        self._audio = audio

    def step(self, channels: int) -> float:
        """Return the seconds of a step of so many channels, the median of a few."""
        engine = Engine(self._network, self._backend, channels, self._decoding)
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

    def _chunks(self, begin: int) -> Iterator[NDArray[np.float32]]:
        for n in itertools.count():
            at = (begin + n * CHUNK) % (len(self._audio) - CHUNK)
            yield self._audio[at : at + CHUNK]
