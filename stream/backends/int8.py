"""The int8 backend: ONNX Runtime on the int8 graphs of a model directory.

Only directories whose export found int8 as good as float32 have them. A row's result is the same bit
for bit in any batch and slot: products are integer, and the rest is element by element.
"""

from __future__ import annotations

from stream.backends.integer_products import products_are_exact
from stream.backends.onnx import OnnxBackend, located
from stream.directory import INT8_GRAPHS
from stream.network import ModelError, Network

__all__ = ["load"]


def load(network: Network, threads: int = 1) -> OnnxBackend:
    """Build the backend from the int8 graphs in the network's model directory.

    Raises:
        ModelError: the network comes from no directory with such graphs, or this machine's integer
            products are wrong.
    """
    graphs = located(
        network,
        INT8_GRAPHS,
        "has no int8 graphs; write them: python -m export.onnx --ckpt MODEL --output DIR "
        "(it leaves them out where int8 is worse), or use the onnx backend",
    )
    if not products_are_exact() and not products_are_exact("1"):
        raise ModelError("int8: this machine's integer products are wrong; use onnx", network.path)
    return OnnxBackend(network, graphs, threads)
