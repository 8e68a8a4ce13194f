"""Rehearsals of tiny engines: every chunk is counted, also one that gets no answer."""

from __future__ import annotations

import time

import numpy as np

from stream.backends import load_backend
from stream.encoders.lstm import LSTM
from stream.engine.engine import Engine, Result
from stream.engine.rehearsal import WARM_UP, busy, rehearse
from tests.tiny import tiny_network

CHUNK = LSTM.chunk_samples

AUDIO = np.random.default_rng(0).normal(0.0, 0.1, 50 * CHUNK).astype(np.float32)
CHUNK_SECONDS = CHUNK / 16_000
SECONDS = 2 * CHUNK_SECONDS


def engine(slots: int) -> Engine:
    network = tiny_network()
    return Engine(network, load_backend("numpy", network), slots)


def test_each_chunk_behind_the_first_of_its_channel_has_a_latency() -> None:
    latencies = rehearse(engine(3), AUDIO, SECONDS)
    assert latencies.shape == (3 * 2,)
    assert (latencies > 0.0).all()


def test_chunks_without_an_answer_count_with_the_time_they_have_waited() -> None:
    class Stuck(Engine):
        def tick(self) -> list[Result]:
            time.sleep(0.01)
            return []

    network = tiny_network()
    latencies = rehearse(Stuck(network, load_backend("numpy", network), 2), AUDIO, SECONDS)
    assert latencies.shape == (2 * 2,)
    assert latencies.min() >= CHUNK_SECONDS / 2  # the last one came half of a chunk's time ago
    assert latencies.max() >= SECONDS


def test_warm_up_chunks_do_not_count() -> None:
    assert rehearse(engine(1), AUDIO, 0.0).size == 0
    assert WARM_UP > 0


def test_busy_processes_run_for_each_core_and_end_with_the_block() -> None:
    with busy(1.2) as processes:
        assert [process.poll() for process in processes] == [None, None]
    assert all(process.returncode is not None for process in processes)
