"""An encoder step of a Conformer of some 36 M weights for N channels, and what its caches cost.

    pytest tests/benchmarks/bench_states.py --benchmark-json=states.json

Chunks are 240 ms, the encoder frames before a chunk a second or four. Each backend runs with caches
appended in place and, as a family without `caches` would, with states copied whole; the two take turns, so that
neighbours on the machine slow them alike, and give the same frames. `extra_info` has the median CPU milliseconds
of a step of each, the channels that one core carries of the encoder, their ratio, and the bytes of a channel.
"""

from __future__ import annotations

import functools
import time
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from stream.backends import Backend, load_backend
from stream.backends.onnx import OnnxBackend
from stream.backends.states import EncoderStates
from stream.bundled import recordings
from stream.encoders.conformer import Conformer
from stream.model.directory import GRAPHS, INT8_GRAPHS, graph_names
from stream.model.network import Network
from tests.tiny import tiny_network

pytest.importorskip("onnx")

from export.build import build, calibrating
from export.calibration import Calibration

ROUNDS = 5
CHANNELS = (1, 8, 32, 64, 128)


@functools.cache
def network(left_chunks: int, mamba_every: int) -> Network:
    sizes = Conformer(
        depth=14,
        size=320,
        heads=8,
        groups=4,
        feed_forward=1024,
        chunk_ms=240,
        chunks_ms=(80, 240, 480, 960),
        left_chunks=left_chunks,
        mamba_every=mamba_every,
    )
    return tiny_network(other_encoder=sizes, joint=320)


@functools.cache
def backend(name: str, left_chunks: int, mamba_every: int) -> Backend:
    model = network(left_chunks, mamba_every)
    if name == "numpy":
        return load_backend(name, model)
    ranges = None
    if name == "int8":
        ranges = Calibration(model, calibrating(model), recordings()[-1:]).ranges()
    graphs = build(model, ranges=ranges, inside=True)
    names = graph_names(model.specification, INT8_GRAPHS if ranges else GRAPHS)
    return OnnxBackend(model, {graph: graphs[graph] for graph in names})


@pytest.mark.benchmark(timer=time.process_time)
@pytest.mark.parametrize("channels", CHANNELS)
@pytest.mark.parametrize("left_chunks", [1, 4])
@pytest.mark.parametrize("mamba_every", [0, 3])
@pytest.mark.parametrize("name", ["numpy", "onnx", "int8"])
def test_encoder_step(
    benchmark: Any, name: str, mamba_every: int, left_chunks: int, channels: int
) -> None:
    computed = backend(name, left_chunks, mamba_every)
    without: Any = SimpleNamespace(
        specification=computed.specification,
        initial_state=computed.initial_state,
        encode=computed.encode,
    )
    kept = {
        "in_place": EncoderStates(computed, channels),
        "copied": EncoderStates(without, channels),
    }
    encoder, rng = computed.specification.encoder, np.random.default_rng(0)
    shape = (channels, encoder.chunk_inputs, encoder.inputs)
    present = np.ones(shape[:2], np.bool_)
    seconds: dict[str, list[float]] = {each: [] for each in kept}
    for number in range(2 + ROUNDS):
        x, rows = rng.standard_normal(shape, np.float32), rng.permutation(channels)
        frames = []
        for each, states in kept.items():
            began = time.process_time()
            frames.append(states.encode(x, rows, present))
            if number >= 2:
                seconds[each].append(time.process_time() - began)
        np.testing.assert_array_equal(*frames)
    for each, of in seconds.items():
        benchmark.extra_info[f"{each}_ms"] = 1e3 * float(np.median(of))
    median = float(np.median(seconds["in_place"]))
    benchmark.extra_info["ratio"] = median / float(np.median(seconds["copied"]))
    benchmark.extra_info["channels_a_core"] = channels * encoder.chunk_seconds / median
    benchmark.extra_info["channel_bytes"] = kept["in_place"].bytes_a_row
    benchmark.pedantic(lambda: kept["in_place"].encode(x, rows, present), rounds=3)
