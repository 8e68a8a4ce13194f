"""The int8 backend: ONNX Runtime on the int8 graphs of a model directory.

A row's result is the same bit for bit in any batch and slot: products with weights are integer, and the rest
is element by element or row by row. Layers that the export kept in float have float32 products, whose order
of summation is the machine's, as have the products of attention; so when a model is loaded rows are computed
alone and side by side, and it is logged where their last bits differ.
"""

from __future__ import annotations

import logging
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stream.backends import Backend
from stream.backends.integer_products import products_are_exact
from stream.backends.onnx import OnnxBackend, located
from stream.model.directory import INT8_GRAPHS, graph_names
from stream.model.network import Network
from stream.model.specification import ModelError
from stream.stage import leaves_of, map_state

logger = logging.getLogger(__name__)

BATCHES = (1, 2, 8, 33)  # kernels differ by the number of rows


def load(network: Network, threads: int = 1) -> OnnxBackend:
    """Build the backend from the int8 graphs in the network's model directory.

    Raises:
        ModelError: the network comes from no directory with such graphs, or this machine's integer
            products are wrong.
    """
    graphs = located(
        network,
        graph_names(network.specification, INT8_GRAPHS),
        "has no int8 graphs; write them: python -m export.onnx --ckpt MODEL --output DIR, "
        "or use --backend onnx",
    )
    if not (products_are_exact() or products_are_exact(unsigned=True)):
        raise ModelError(
            "int8: this machine's integer products are wrong. Use --backend onnx", network.path
        )
    backend = OnnxBackend(network, graphs, threads, otherwise=". Use --backend onnx")
    if not rows_are_independent(backend):
        logger.warning(
            "int8: layers in float round by batch: a stream's last bits depend on others"
        )
    return backend


def rows_are_independent(backend: Backend) -> bool:
    """Return whether a row of a random batch, in random states, is the same bit for bit in batches of other sizes."""
    rng, spec, most = np.random.default_rng(0), backend.specification, max(BATCHES)
    encoder = spec.encoder
    x = rng.standard_normal((most, encoder.chunk_inputs, encoder.inputs), np.float32)
    tokens = rng.integers(0, spec.blank, most, endpoint=True)
    f, g = rng.standard_normal((2, most, spec.joint), np.float32)

    def at_random(leaf: NDArray[Any]) -> NDArray[Any]:
        if leaf.dtype == np.uint8:  # h of an LSTM
            return rng.integers(0, 255, leaf.shape, np.uint8, endpoint=True)
        return rng.standard_normal(leaf.shape).astype(leaf.dtype)

    of_encoder, of_prediction = map_state(at_random, backend.initial_state(most))

    def run(rows: slice) -> list[NDArray[Any]]:
        heard, said = map_state(lambda leaf: leaf[rows], (of_encoder, of_prediction))
        found: list[Any] = [backend.encode(x[rows], heard)]
        if "transducer" in spec.heads:
            found += [backend.predict(tokens[rows], said), backend.join(f[rows], g[rows])]
        return leaves_of(tuple(found))

    together = run(slice(None))
    return all(
        np.array_equal(a[-rows:], b)
        for rows in BATCHES
        for a, b in zip(together, run(slice(-rows, None)), strict=True)
    )
