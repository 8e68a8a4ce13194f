"""The engine: milliseconds a step for N channels, float32 and int8, and the share of int8's peak.

    pytest tests/benchmarks/bench_engine.py --benchmark-json=engine.json

The models are random, of the shapes of `base` and of the bundled model, and emit some 4 tokens a second
of the bundled recordings, which every channel hears from a place of its own. `extra_info`
is of CPU seconds of one thread, so that neighbours on the machine count little; it
has the channels that would fill one core at that step, the products a second (encoder, joint and
prediction network of what was computed), and their share of what a u8 x s8 MatMulInteger of 256 x
1024 x 4096 reaches in the same run.
"""

from __future__ import annotations

import functools
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from stream.audio import read_audio
from stream.backends import load_backend
from stream.backends.session import open_session
from stream.bundled import recordings
from stream.encoders.lstm import LSTM
from stream.engine.engine import Engine, Result
from stream.model.network import Network, open_model

pytest.importorskip("onnx")

import onnx
from onnx import TensorProto, helper, numpy_helper

from export.random import main

CHUNK = LSTM.chunk_samples

CHANNELS = (1, 8, 32, 64, 128, 256, 512)
ROUNDS = 7
WARM_UP = 25
STARTS = 17  # chunks within which the streams begin
PEAK = (256, 1024, 4096)


@pytest.fixture(scope="session")
def directories(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Make a random model of a shape, once."""

    @functools.cache
    def directory(shape: str) -> Path:
        path = tmp_path_factory.mktemp(shape) / "model"
        assert main(["--shape", shape, "--output", str(path)]) == 0
        return path

    return directory


@functools.cache
def product() -> Any:
    """Return a session of one MatMulInteger."""
    rows, inputs, outputs = PEAK
    rng = np.random.default_rng(0)
    weight = rng.integers(-127, 128, (inputs, outputs)).astype(np.int8)
    graph = helper.make_graph(
        [helper.make_node("MatMulInteger", ["x", "w", "zero"], ["y"])],
        "peak",
        [helper.make_tensor_value_info("x", TensorProto.UINT8, [rows, inputs])],
        [helper.make_tensor_value_info("y", TensorProto.INT32, [rows, outputs])],
        [numpy_helper.from_array(weight, "w"), numpy_helper.from_array(np.uint8(128), "zero")],
    )
    model = helper.make_model(
        graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10
    ).SerializeToString()
    assert onnx.load_from_string(model)
    return weight, open_session(model)


def peak() -> float:
    """Products a second of one MatMulInteger, one thread."""
    rows, inputs, outputs = PEAK
    weight, session = product()
    x = np.random.default_rng(1).integers(0, 256, (rows, inputs)).astype(np.uint8)
    seconds = []
    for _ in range(ROUNDS):
        began = time.process_time()
        (y,) = session.run(None, {"x": x})
        seconds.append(time.process_time() - began)
    assert np.array_equal(y[0], (x[0].astype(np.int64) - 128) @ weight)
    return float(rows * inputs * outputs / min(seconds))


def products(network: Network) -> tuple[int, int]:
    """Return the products of an encoder step, and those of a joint evaluation and a token."""
    encoder = token = 0
    for name, shape in network.specification.shapes().items():
        size = int(np.prod(shape)) if len(shape) == 2 else 0
        if name.startswith("encoder.pre"):
            encoder += 2 * size
        elif name.startswith(("encoder.post", "joint.encoder")):
            encoder += size
        elif name.startswith(("joint.output", "joint.prediction", "prediction.lstm")):
            token += size
    return encoder, token


@pytest.mark.benchmark(timer=time.process_time)
@pytest.mark.parametrize("channels", CHANNELS)
@pytest.mark.parametrize("backend", ["onnx", "int8"])
@pytest.mark.parametrize("shape", ["bundled", "base"])
def test_step(benchmark: Any, directories: Any, shape: str, backend: str, channels: int) -> None:
    network = open_model(directories(shape))
    engine = Engine(network, load_backend(backend, network), channels)
    audio = np.concatenate([read_audio(recording.audio) for recording in recordings()])
    rng = np.random.default_rng(0)
    places = rng.integers(0, len(audio) - 60 * CHUNK, channels)
    # Streams begin at random, so that their tokens do not come all at once.
    begins = rng.integers(0, STARTS, channels)
    results: list[Result] = []
    chunk = 0

    def push() -> None:
        nonlocal chunk
        while engine.open() is not None:
            pass
        for slot in range(channels):
            if begins[slot] <= chunk:
                at = places[slot] + (chunk - begins[slot]) % 50 * CHUNK
                engine.push(slot, audio[at : at + CHUNK])
        chunk += 1

    def step() -> None:
        results.extend(engine.tick())

    for _ in range(WARM_UP):
        push()
        step()
    results.clear()
    benchmark.pedantic(step, setup=push, rounds=ROUNDS)
    assert len(results) == ROUNDS * channels
    seconds = benchmark.stats.stats.median
    tokens = sum(len(result.tokens) for result in results) / ROUNDS
    encoder, token = products(network)
    rate = (encoder * channels + token * (channels + tokens)) / seconds
    benchmark.extra_info["ms_a_step"] = 1e3 * seconds
    benchmark.extra_info["channels_that_fill_a_core"] = channels * 0.06 / seconds
    benchmark.extra_info["tokens_a_second"] = tokens / channels / 0.06
    benchmark.extra_info["products_a_second"] = rate
    benchmark.extra_info["share_of_the_int8_peak"] = rate / peak()
