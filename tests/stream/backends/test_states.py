"""Encoder states of many rows: any order of steps, resets and copies gives each stream what it gets alone."""

from __future__ import annotations

from typing import Any

import msgspec
import numpy as np
import pytest
from array_api_compat import array_namespace

from stream import encoders
from stream.backends import Backend, load_backend
from stream.backends.onnx import OnnxBackend
from stream.backends.states import EncoderStates
from stream.encoders.conformer import Conformer
from stream.encoders.family import Arrays, Encoder
from stream.stage import Array, State
from tests.tiny import tiny_network

CHUNK = 3  # log-mel frames
LONG, SHORT = 8, 2  # frames of its caches: one chunk and more, and less than a chunk
BLOCKS = 4  # of the long one


class Remembering(
    Encoder,
    msgspec.Struct,
    frozen=True,
    tag="remembering",
    tag_field="family",
    forbid_unknown_fields=True,
):
    """y[t] = W x[t] + a weighted mean of the frames before the chunk + x[t - 2]; the last leaf counts chunks."""

    stack = 1
    frame_samples, chunk_samples, size = 160, 160 * CHUNK, 80
    caches = (True, True, False)

    def shapes(self) -> dict[str, tuple[int, ...]]:
        return {"encoder.remembering.weight": (80, 80)}

    def layers(self) -> tuple[str, ...]:
        return ("encoder.remembering",)

    def initial_state(self, batch: int) -> State:
        first = np.zeros((batch, BLOCKS, LONG, 80 // BLOCKS), np.float32)
        return first, np.ones((batch, SHORT, 80), np.float32), np.zeros((batch, 1), np.int64)

    def advance(
        self, arrays: Arrays, x: Array, state: State, present: Array | None = None
    ) -> tuple[Array, State]:
        xp = array_namespace(x)
        first, second, count = state
        weights = xp.arange(LONG, dtype=x.dtype)[:, None]  # of places: their order matters
        recent = xp.reshape(xp.mean(first * weights, axis=2), (len(x), 1, 80))
        before = xp.concat([second, x], axis=1)[:, : x.shape[1]]
        y = xp.matmul(x, arrays["encoder.remembering.weight"].T) + recent + before
        blocks = xp.reshape(x, (len(x), x.shape[1], BLOCKS, -1))
        return y, (xp.permute_dims(blocks, (0, 2, 1, 3)), x, count + 1)


def graph() -> bytes:
    """Return the graph of `Remembering` with weights of one, without the projection to the joint's size."""
    onnx = pytest.importorskip("onnx")
    from export.onnx.graph import FLOAT, Graph

    g = Graph()
    size = 80 // BLOCKS
    x = g.input("x", FLOAT, ["B", CHUNK, 80])
    first = g.input("first", FLOAT, ["B", BLOCKS, LONG, size])
    second = g.input("second", FLOAT, ["B", SHORT, 80])

    def integers(*values: int) -> str:
        return g.constant("integers." + "_".join(map(str, values)), np.array(values, np.int64))

    weights = g.constant("weights", np.arange(LONG, dtype=np.float32)[:, None])
    mean = g.node("ReduceMean", [g.node("Mul", [first, weights]), integers(2)], keepdims=0)
    recent = g.node("Reshape", [mean, integers(0, 1, 80)])
    both = g.node("Concat", [second, x], axis=1)
    before = g.node("Slice", [both, integers(0), integers(CHUNK), integers(1)])
    y = g.node("Add", [g.node("Add", [x, recent]), before])
    blocks = g.node("Reshape", [x, integers(0, CHUNK, BLOCKS, size)])
    g.output(y, "f", ["B", CHUNK, 80])
    g.output(
        g.node("Transpose", [blocks], perm=[0, 2, 1, 3]), "first.new", ["B", BLOCKS, CHUNK, size]
    )
    g.output(x, "second.new", ["B", CHUNK, 80])
    model = onnx.helper.make_model(
        onnx.helper.make_graph(g.nodes, "g", g.inputs, g.outputs, [*g.initializers.values()]),
        opset_imports=[onnx.helper.make_opsetid("", 18)],
        ir_version=10,
    )
    return bytes(model.SerializeToString())


@pytest.fixture(params=["numpy", "graph", "conformer", "without caches"])
def backend(request: Any, monkeypatch: pytest.MonkeyPatch) -> Backend:
    if request.param == "without caches":
        return load_backend("numpy", tiny_network())
    if request.param == "conformer":
        sizes = Conformer(3, 16, 4, 2, 4, mamba_every=3, feed_forward=16, chunk_ms=120)
        return load_backend("numpy", tiny_network(other_encoder=sizes))
    monkeypatch.setitem(encoders.FAMILIES, "remembering", Remembering)
    network = tiny_network(other_encoder=Remembering())
    if request.param == "numpy":
        return load_backend("numpy", network)
    return OnnxBackend(network, {"encoder.onnx": graph()})


def test_any_order_of_steps_resets_and_copies_gives_a_stream_what_it_gets_alone(
    backend: Backend,
) -> None:
    rng, encoder, slots = np.random.default_rng(0), backend.specification.encoder, 5
    states = EncoderStates(backend, slots)
    alone = [backend.initial_state(1)[0] for _ in range(slots)]  # the state of each stream
    compared = 0
    for _ in range(60):
        rows = rng.permutation(slots)[: rng.integers(1, slots + 1)]
        chunks = int(rng.choice([1, 1, 1, 3]))
        x = rng.standard_normal(
            (len(rows), chunks * encoder.chunk_inputs, encoder.inputs), np.float32
        )
        f = states.encode(x, rows, np.ones(x.shape[:2], np.bool_))
        for place, row in enumerate(rows):
            want = []
            for chunk in np.split(x[place : place + 1], chunks, axis=1):
                part, alone[row] = backend.encode(chunk, alone[row])
                want.append(part[0])
            np.testing.assert_allclose(f[place], np.concatenate(want), rtol=0, atol=1e-5)
            compared += 1
        if rng.random() < 0.3:
            row, source = rng.permutation(slots)[:2]
            states.copy(row, source)
            alone[row] = alone[source]
        if rng.random() < 0.3:
            row = rng.integers(slots)
            states.reset(np.array([row]))
            alone[row] = backend.initial_state(1)[0]
    assert compared > 100


def test_the_bytes_of_a_row_are_those_of_its_leaves(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(encoders.FAMILIES, "remembering", Remembering)
    backend = load_backend("numpy", tiny_network(other_encoder=Remembering()))
    assert EncoderStates(backend, 7).bytes_a_row == 4 * 80 * LONG + 4 * 80 * SHORT + 8


def test_a_cache_of_no_frames_stays_empty(monkeypatch: pytest.MonkeyPatch) -> None:
    class Forgetting(Remembering, frozen=True, tag="forgetting"):
        caches = (True,)

        def initial_state(self, batch: int) -> State:
            return (np.zeros((batch, 0, 80), np.float32),)

        def advance(
            self, arrays: Arrays, x: Array, state: State, present: Array | None = None
        ) -> tuple[Array, State]:
            return x + state[0].shape[1], (x,)

    monkeypatch.setitem(encoders.FAMILIES, "forgetting", Forgetting)
    backend = load_backend("numpy", tiny_network(other_encoder=Forgetting()))
    states, x = EncoderStates(backend, 2), np.ones((1, CHUNK, 80), np.float32)
    first = states.encode(x, np.array([1]))
    assert np.array_equal(states.encode(x, np.array([1])), first)
