"""Real-time factor of the recogniser: one channel, and many in one batch against as many one by one.

The network is random, of the default specification's size, and emits one token at every encoder frame,
16.7 a second: several times what speech has, so the prediction network's share is on the safe side.
`extra_info` has RTF (processing seconds per second of audio), the streams that would fill this machine
at that RTF, and the ratio to streaming the same channels one by one in the same run.
"""

from __future__ import annotations

import time
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from stream.backends import Backend
from stream.backends.numpy import NumpyBackend
from stream.decoding.greedy import GreedyConfig
from stream.engine.engine import Engine, Result
from stream.model.network import Network
from tests.tiny import tiny_network

SECONDS = 3.0
SIZES: dict[str, Any] = {
    "pre_layers": 2,
    "post_layers": 2,
    "hidden": 256,
    "prediction_layers": 1,
    "prediction_hidden": 128,
    "joint": 256,
}


def noise(channel: int) -> NDArray[np.float32]:
    rng = np.random.default_rng(channel)
    return rng.normal(0.0, 0.1, int(SECONDS * 16_000)).astype(np.float32)


def network() -> Network:
    made = tiny_network(0, **SIZES)
    arrays = {name: array.copy() for name, array in made.arrays.items()}
    arrays["joint.output.bias"][-1] -= 100.0  # never blank
    return Network(made.specification, arrays, made.tokenizer)


def backend_of(name: str, made: Network) -> Backend:
    if name == "numpy":
        return NumpyBackend(made)
    pytest.importorskip("onnx")
    from export.build import build
    from stream.backends.onnx import OnnxBackend

    return OnnxBackend(made, build(made, inside=True))


def run(engine: Engine, channels: list[int]) -> list[list[tuple[int, int]]]:
    """Stream the recordings of some channels side by side; returns the tokens of each."""
    slots = {}
    for channel in channels:
        slot = engine.open()
        assert slot is not None
        slots[slot] = channel
        engine.push(slot, noise(channel))
        engine.finish(slot)
    results: list[Result] = []
    while engine.pending():
        results += engine.tick()
    for slot in slots:
        engine.close(slot)
    return [
        [(t.id, t.step) for result in results if result.slot == slot for t in result.tokens]
        for slot in slots
    ]


@pytest.mark.parametrize("channels", [1, 16, 64])
@pytest.mark.parametrize("name", ["numpy", "onnx"])
def test_real_time_factor(benchmark: Any, name: str, channels: int) -> None:
    made = network()
    backend = backend_of(name, made)
    everyone = list(range(channels))
    one, all_at_once = (Engine(made, backend, n, GreedyConfig(1)) for n in (1, channels))
    began = time.perf_counter()
    alone = [run(one, [channel])[0] for channel in everyone]
    seconds_alone = time.perf_counter() - began
    assert run(all_at_once, everyone) == alone
    assert sum(map(len, alone)) == channels * SECONDS * 16_000 // 960

    benchmark.pedantic(run, args=(all_at_once, everyone), rounds=3, warmup_rounds=1)
    seconds = benchmark.stats.stats.min
    benchmark.extra_info["rtf"] = seconds / (channels * SECONDS)
    benchmark.extra_info["streams_in_real_time"] = channels * SECONDS / seconds
    benchmark.extra_info["times_as_fast_as_one_by_one"] = seconds_alone / seconds
