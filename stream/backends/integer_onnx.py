"""The integer-onnx backend: ONNX Runtime on the integer graphs of a model directory.

Graphs are those of `export.onnx.integer`. They equal the integer backend bit for bit, but not on every
machine: some CPUs' products of u8 and s8 saturate. So when a model is loaded

1. the machine's products are tried; where those of u8 and s8 saturate the weights become u8, and where
   those are wrong too the NumPy integers compute, which is logged;
2. graphs and NumPy integers run one random batch from random states, with the ends of all ranges in it,
   and any difference refuses the model.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stream.backends import Backend
from stream.backends.integer import IntegerBackend
from stream.backends.integer_products import products_are_exact
from stream.backends.onnx import OnnxBackend, located
from stream.integer.network import IntegerNetwork, to_integers
from stream.model.directory import INTEGER_GRAPHS
from stream.model.network import Network
from stream.model.specification import ModelError
from stream.stage import State, leaves_of, map_state

logger = logging.getLogger(__name__)

ROWS = 8  # of the batch that is tried
CHUNKS = 2  # of the encoder
EXTREME = 0.125  # share of values at an end of their range
LOUD = 1e4  # normalised log-mel beyond what any exponent represents


def load(network: Network, threads: int = 1) -> Backend:
    """Build the backend from the integer graphs in the network's model directory.

    Raises:
        ModelError: the network has no quantisation, or comes from no directory with such graphs; or
            one computes something else than the integers say.
    """
    integers = to_integers(network)
    graphs = located(
        network,
        INTEGER_GRAPHS,
        "has no integer graphs; write them: python -m export.onnx --ckpt MODEL --output DIR, "
        "or use --backend integer",
    )
    if not (products_are_exact() or products_are_exact(unsigned=True)):
        logger.warning("integer-onnx: this CPU's integer products are wrong; NumPy computes")
        return IntegerBackend(integers)
    backend = OnnxBackend(network, graphs, threads, otherwise=". Use --backend integer")
    try:
        check_equal(integers, backend)
    except ValueError as error:
        raise ModelError(str(error), network.path) from error
    return backend


def graph_state(state: State) -> State:
    """Return a state of the integer backend as the graphs': flat, h as u8 with zero point 128."""
    return tuple(
        (leaf.view(np.uint8) ^ 128) if leaf.dtype == np.int8 else leaf.copy()
        for leaf in leaves_of(state)
    )


def check_equal(network: IntegerNetwork, graphs: Backend, rows: int = ROWS, seed: int = 0) -> None:
    """Check the graphs against the NumPy integers on a random batch, from random states.

    Args:
        network: the integers.
        graphs: that shall compute the same.
        rows: of the batch.
        seed: of the batch.
    Raises:
        ValueError: a graph cannot be run on it, or computes something else.
    """
    reference, rng = IntegerBackend(network), np.random.default_rng(seed)
    blank = network.specification.blank

    def scattered(like: NDArray[Any]) -> NDArray[Any]:
        """Return random integers of a leaf's shape and dtype, many of them the least or the most."""
        least, most = np.iinfo(like.dtype).min, np.iinfo(like.dtype).max
        values = rng.integers(least, most, like.shape, like.dtype, endpoint=True)
        values[rng.random(like.shape) < EXTREME] = least
        values[rng.random(like.shape) < EXTREME] = most
        return values

    encoder, prediction = (map_state(scattered, s) for s in reference.initial_state(rows))
    sizes = network.specification.encoder
    shape = rows, CHUNKS * sizes.chunk_inputs, sizes.inputs
    x = rng.normal(0.0, 2.0, shape).astype(np.float32)
    x[0] = np.where(rng.random(x.shape[1:]) < EXTREME, np.copysign(LOUD, x[0]), x[0])
    present = np.ones(x.shape[:2], np.bool_)
    present[-1, -1] = False  # a stream that ends within a chunk
    tokens = rng.integers(0, blank, rows)
    tokens[-1] = blank
    joined = np.zeros((2, rows, network.specification.joint), np.int16)
    f, g = np.ldexp(scattered(joined).astype(np.float32), -network.joint_encoder.exponent)
    calls: list[tuple[Callable[[Backend, State], tuple[Any, State]], State]] = [
        (lambda backend, state: backend.encode(x, state, present), encoder),
        (lambda backend, state: backend.predict(tokens, state), prediction),
        (lambda backend, _: (backend.join(f, g), ()), ()),
    ]
    for name, (call, state) in zip(INTEGER_GRAPHS, calls, strict=True):
        want, after = call(reference, state)
        try:
            got, got_after = call(graphs, graph_state(state))
        except Exception as error:  # ONNX Runtime's errors have no public common type
            raise ValueError(f"{name} cannot be run: {error}") from error
        parts = [("output", want, got)]
        parts += [
            (f"state {n}", *pair)
            for n, pair in enumerate(zip(graph_state(after), got_after, strict=True))
        ]
        for part, a, b in parts:
            if a.dtype != b.dtype or not np.array_equal(a, b):
                wrong = np.flatnonzero((a != b).reshape(rows, -1).any(axis=0))
                raise ValueError(
                    f"{name}: {part} differs from the integers of the model in {len(wrong)} places, "
                    f"first in {wrong[:1].tolist()}; it was written wrongly, or this machine "
                    "computes it wrongly: export again, or use --backend integer"
                )
