"""Streams of an encoder with caches: no stream's tokens depend on its neighbours, whenever these come and go."""

from __future__ import annotations

import functools
from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

from stream.backends import Backend, load_backend
from stream.backends.onnx import OnnxBackend
from stream.backends.states import EncoderStates
from stream.bundled import recordings
from stream.encoders.conformer import Conformer
from stream.engine.engine import Engine
from stream.front_end.log_mel import streamed_log_mel
from stream.model.directory import GRAPHS, INT8_GRAPHS, graph_names
from stream.model.network import Network
from stream.stage import whole
from tests.tiny import tiny_network

SIZES = Conformer(
    3,
    16,
    4,
    2,
    5,
    mamba_every=3,
    mamba_heads=2,
    mamba_state=8,
    feed_forward=16,
    chunk_ms=120,
    channels=4,
)
SLOTS, STREAMS = 5, 16
Samples = NDArray[np.float32]
Tokens = list[tuple[int, int]]  # (id, step)


@functools.cache
def network() -> Network:
    """Return a random Conformer whose best class changes with what is heard."""
    random = tiny_network(1, other_encoder=SIZES)
    backend = load_backend("numpy", random)
    frames = whole(random.normaliser, streamed_log_mel(streams()[1][None], random.front_end))
    x = frames[:, : frames.shape[1] // SIZES.chunk_inputs * SIZES.chunk_inputs]
    of_encoder, of_prediction = backend.initial_state(1)
    f, _ = backend.encode(x, of_encoder)
    g, _ = backend.predict(np.array([random.specification.blank]), of_prediction)
    weight = 20.0 * random.arrays["joint.output.weight"]
    bias = -weight @ np.maximum(f[0] + g, 0.0).mean(axis=0)
    bias[random.specification.blank] += 4.0
    arrays = {**random.arrays, "joint.output.weight": weight, "joint.output.bias": bias}
    return replace(random, arrays=arrays)


@functools.cache
def streams() -> list[Samples]:
    """Return speech from places of its own, and beside it noise of any level: every third stream."""
    rng = np.random.default_rng(0)
    speech = np.concatenate([recording.read() for recording in recordings()])
    found = []
    for number in range(STREAMS):
        length = int(rng.integers(8_000, 30_000))
        begin = int(rng.integers(len(speech) - length))
        noise = 10.0 ** rng.uniform(-3, 0) * rng.standard_normal(length)
        found.append(speech[begin : begin + length] if number % 3 else noise.astype(np.float32))
    return found


@functools.cache
def backend_of(name: str) -> Backend:
    """Load a backend; int8 with the ranges of two recordings."""
    if name == "numpy":
        return load_backend("numpy", network())
    pytest.importorskip("onnx", reason="needs onnx: pip install 'rill-asr[train]'")
    from export.build import build, calibrating
    from export.calibration import Calibration

    ranges = Calibration(network(), calibrating(network()), recordings()[-2:]).ranges()
    graphs = build(network(), ranges=ranges if name == "int8" else None, inside=True)
    wanted = graph_names(network().specification, INT8_GRAPHS if name == "int8" else GRAPHS)
    return OnnxBackend(network(), {graph: graphs[graph] for graph in wanted})


def alone(backend: Backend, samples: Samples) -> Tokens:
    """Return (id, step) of the tokens of a stream that has an engine of its own."""
    engine = Engine(network(), backend, 1)
    slot = engine.open()
    assert slot is not None
    engine.push(slot, samples)
    engine.finish(slot)
    found: Tokens = []
    while engine.pending():
        found += [(t.id, t.step) for result in engine.tick() for t in result.tokens]
    return found


def beside_others(backend: Backend, seed: int) -> dict[int, Tokens]:
    """Return the tokens of streams that share an engine; they come, pause and go at random, some early."""
    rng = np.random.default_rng(seed)
    engine, waiting = Engine(network(), backend, SLOTS), list(rng.permutation(STREAMS))
    of: dict[int, int] = {}  # slot -> stream
    sent: dict[int, int] = {}
    found: dict[int, Tokens] = {}
    done: dict[int, Tokens] = {}
    while waiting or of:
        while waiting and rng.random() < 0.3 and (slot := engine.open()) is not None:
            of[slot], sent[slot], found[slot] = int(waiting.pop()), 0, []
        for slot, stream in list(of.items()):
            samples = streams()[stream]
            if rng.random() < 0.01:
                engine.close(slot)
                del of[slot]
            elif sent[slot] < len(samples) and rng.random() < 0.7:
                part = samples[sent[slot] : sent[slot] + int(rng.integers(1, 4000))]
                engine.push(slot, part)
                sent[slot] += len(part)
                if sent[slot] == len(samples):
                    engine.finish(slot)
        for result in engine.tick():
            found[result.slot] += [(t.id, t.step) for t in result.tokens]
            if result.last:
                engine.close(result.slot)
                done[of.pop(result.slot)] = found[result.slot]
    return done


@functools.cache
def each_alone(name: str) -> list[Tokens]:
    return [alone(backend_of(name), samples) for samples in streams()]


@pytest.mark.parametrize("seed", [0, 1])
@pytest.mark.parametrize("name", ["numpy", "onnx", "int8"])
def test_a_stream_says_what_it_says_alone_whoever_comes_and_goes(name: str, seed: int) -> None:
    done = beside_others(backend_of(name), seed)
    want = each_alone(name)
    assert len(done) > STREAMS // 2
    for stream, tokens in done.items():
        assert tokens == want[stream], stream
    said = [len(want[stream]) for stream in done if stream % 3]  # of speech
    assert sum(said) > 3 * len(said)


def test_a_cache_that_is_not_emptied_would_be_heard(monkeypatch: pytest.MonkeyPatch) -> None:
    want = each_alone("numpy")
    monkeypatch.setattr(EncoderStates, "reset", lambda self, rows: None)
    done = beside_others(backend_of("numpy"), 0)
    assert any(tokens != want[stream] for stream, tokens in done.items())
