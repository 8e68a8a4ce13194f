"""Whether this machine's integer products are exact, found by running one.

The fast product of u8 activations and s8 weights saturates between two multiplications on a CPU without
VNNI. What a build of ONNX Runtime does on a CPU is not to be read off the CPU's flags, so the largest
product that there is, 255 times 127, is run.
"""

from __future__ import annotations

import functools

import numpy as np
import onnxruntime

from stream.backends.protobuf import encode
from stream.backends.unsigned_weights import unsigned_weights

WIDTH = 64


def product_graph() -> bytes:
    """Return an ONNX model: x (B, 64) uint8 times 64 x 64 weights of 127 -> y (B, 64) int32."""

    def value(name: bytes, kind: int) -> bytes:
        shape = encode([(1, encode([(2, b"B")])), (1, encode([(1, WIDTH)]))])
        tensor = encode([(1, kind), (2, shape)])
        return encode([(1, name), (2, encode([(1, tensor)]))])

    node = encode([(1, b"x"), (1, b"w"), (2, b"y"), (4, b"MatMulInteger")])
    weight = encode([(1, WIDTH), (1, WIDTH), (2, 3), (8, b"w"), (9, b"\x7f" * WIDTH**2)])
    graph = [(1, node), (2, b"product"), (5, weight), (11, value(b"x", 2)), (12, value(b"y", 6))]
    return encode([(1, 10), (7, encode(graph)), (8, encode([(1, b""), (2, 18)]))])


@functools.cache
def products_are_exact(unsigned: bool = False) -> bool:
    """Return whether products of u8 and s8 are exact, or those of u8 and u8."""
    graph = unsigned_weights(product_graph()) if unsigned else product_graph()
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(graph, options, providers=["CPUExecutionProvider"])
    for rows in (1, 2, 8, 33):  # kernels differ by the number of rows
        (y,) = session.run(["y"], {"x": np.full((rows, WIDTH), 255, np.uint8)})
        if not np.all(y == 255 * 127 * WIDTH):
            return False
    return True
