"""Caches and chunk lengths of the ONNX backend, on a graph of a few nodes."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("onnx", reason="needs onnx: pip install 'rill-asr[train]'")

from export.onnx.graph import FLOAT, Graph
from stream.backends.onnx import OnnxBackend
from tests.convolution import Convolution
from tests.tiny import tiny_network

LENGTH, WIDTH = 5, 80


class Windowed(Convolution, frozen=True, tag="windowed"):
    """A family whose encoder frame is an input frame, in chunks of so many."""

    chunk: int = 2

    frame_samples = 160

    @property
    def chunk_samples(self) -> int:  # type: ignore[override]
        return 160 * self.chunk


def graph() -> bytes:
    """Build f = x + the sum of the last 5 frames before the chunk, and a cache of these."""
    made = Graph()
    x = made.input("x", FLOAT, ["B", "n", WIDTH])
    present = made.input("present", FLOAT, ["B", "n"])
    before = made.input("before", FLOAT, ["B", LENGTH, WIDTH])
    last = made.constant("last_axis", np.array([2], np.int64))
    x = made.node("Mul", [x, made.node("Unsqueeze", [present, last])])
    time = made.constant("time_axis", np.array([1], np.int64))
    total = made.node("ReduceSum", [before, time], keepdims=1)
    made.output(made.node("Add", [x, total]), "f", ["B", "n", WIDTH])
    made.output(x, "before.new", ["B", "n", WIDTH])
    return made.model("encoder")


@pytest.mark.parametrize("chunk", [1, 2, 3, 6])
def test_a_cache_holds_the_last_entries_whatever_the_chunk_of_the_one_graph(chunk: int) -> None:
    network = tiny_network(joint=WIDTH, other_encoder=Windowed(chunk=chunk))
    backend = OnnxBackend(network, {"encoder.onnx": graph()})
    x = np.random.default_rng(0).standard_normal((2, 12, WIDTH), np.float32)
    present = np.ones((2, 12), np.bool_)
    present[1, -1] = False
    state = backend.initial_state(2)[0]
    f, (cache,) = backend.encode(x[:, :6], state, present[:, :6])
    g, (cache,) = backend.encode(x[:, 6:], (cache,), present[:, 6:])
    masked = np.where(present[:, :, None], x, 0.0)
    padded = np.pad(masked, ((0, 0), (LENGTH, 0), (0, 0)))
    want = [
        masked[:, n] + padded[:, n // chunk * chunk : n // chunk * chunk + LENGTH].sum(axis=1)
        for n in range(12)
    ]
    np.testing.assert_allclose(
        np.concatenate([f, g], axis=1), np.stack(want, axis=1), rtol=0, atol=1e-5
    )
    np.testing.assert_array_equal(cache, masked[:, -LENGTH:])
