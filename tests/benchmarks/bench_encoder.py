"""An encoder step by what computes it: float32, int8 and integer graphs, and the NumPy integers.

int8 and integer graphs run as this machine loads them, and with u8 weights as one whose products of u8 and
s8 saturate does.

    pytest tests/benchmarks/bench_encoder.py --benchmark-json=encoder.json

Random models of the shapes of `base` and of the bundled model, in integers by post-training choice. They
take turns, so that neighbours on the machine slow them alike; `extra_info` has the median CPU
milliseconds of each and their ratio to float32. What is timed by the benchmark itself is
the integer graphs. The integers are checked to be equal before anything is timed.
"""

from __future__ import annotations

import functools
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest

from stream.backends import Backend, load_backend
from stream.bundled import model_path
from stream.encoders.lstm import PAIR
from stream.model import directory
from stream.model.network import open_model
from stream.model.quantisation import Quantisation

pytest.importorskip("onnx")

from export.build import build
from export.onnx.ranges import Ranges
from export.random import SHAPES, random_network

BACKENDS = ("onnx", "int8", "integer-onnx", "integer")
UNSIGNED = ("int8", "integer-onnx")  # that are also loaded with u8 weights
CHANNELS = (1, 32, 128)
ROUNDS = 15
SECONDS = 0.01  # at least, of a measurement


@pytest.fixture(scope="session")
def models(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Make a random model of a shape with all graphs and load all backends, once."""

    @functools.cache
    def backends(shape: str) -> dict[str, Backend]:
        bundled = open_model(model_path())
        specification = msgspec.structs.replace(
            SHAPES.get(shape, bundled.specification), quantisation=Quantisation(joint=3)
        )
        network = random_network(specification, bundled, 4.0)
        network = replace(network, specification=specification)
        path: Path = tmp_path_factory.mktemp(shape) / "model"
        files = build(network, ranges=Ranges(8.0, 16.0), integers=True)
        directory.write(network, path, files)
        read = open_model(path)
        loaded = {name: load_backend(name, read) for name in BACKENDS}
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("stream.backends.session.products_are_exact", lambda: False)
            loaded |= {f"{name}_u8": load_backend(name, read) for name in UNSIGNED}
        return loaded

    return backends


@pytest.mark.benchmark(timer=time.process_time)
@pytest.mark.parametrize("channels", CHANNELS)
@pytest.mark.parametrize("shape", ["bundled", "base"])
def test_encoder_step(benchmark: Any, models: Any, shape: str, channels: int) -> None:
    backends = models(shape)
    x = np.random.default_rng(0).standard_normal((channels, PAIR, 240), np.float32)
    states = {name: backend.initial_state(channels)[0] for name, backend in backends.items()}

    def step(name: str) -> Any:
        f, states[name] = backends[name].encode(x, states[name])
        return f

    for _ in range(3):
        f = {name: step(name) for name in backends}
        np.testing.assert_array_equal(f["integer-onnx"], f["integer"])
        for name in UNSIGNED:
            np.testing.assert_array_equal(f[f"{name}_u8"], f[name])
    seconds: dict[str, list[float]] = {name: [] for name in backends}
    for _ in range(ROUNDS):
        for name in backends:
            began, count = time.process_time(), 0
            while time.process_time() - began < SECONDS:
                step(name)
                count += 1
            seconds[name].append((time.process_time() - began) / count)
    medians = {name: float(np.median(of)) for name, of in seconds.items()}
    for name, median in medians.items():
        benchmark.extra_info[f"{name}_ms"] = 1e3 * median
        benchmark.extra_info[f"{name}_to_onnx"] = median / medians["onnx"]
    benchmark.pedantic(lambda: step("integer-onnx"), rounds=ROUNDS, warmup_rounds=1)
