"""Whether this machine's integer products are exact, asked of the machine itself.

The fast product of u8 activations and s8 weights saturates between two multiplications on a CPU without
VNNI. ONNX Runtime has a session option against that, which costs a CPU with VNNI that it does not
know for one more than half of the speed. So the largest product that there is, 255 times 127, is run
without the option, and the option is set where its sum is wrong.
"""

from __future__ import annotations

import functools

import numpy as np
import onnxruntime

__all__ = ["PRECISION", "product_graph", "products_are_exact"]

PRECISION = "session.x64quantprecision"
WIDTH = 64


def _field(number: int, content: bytes | int) -> bytes:
    """Encode one field of a protocol buffer: a varint, or bytes of a length."""

    def varint(value: int) -> bytes:
        low, rest = value & 0x7F, value >> 7
        return bytes([low | 0x80]) + varint(rest) if rest else bytes([low])

    if isinstance(content, int):
        return varint(number << 3) + varint(content)
    return varint(number << 3 | 2) + varint(len(content)) + content


def product_graph() -> bytes:
    """Return an ONNX model: x (B, 64) uint8 times 64 x 64 weights of 127 -> y (B, 64) int32.

    Written by hand, for the package onnx is not there where a model is served.
    """
    dimension = _field(1, WIDTH)

    def value(name: bytes, kind: int) -> bytes:
        shape = _field(1, _field(2, b"B")) + _field(1, dimension)
        tensor = _field(1, kind) + _field(2, shape)
        return _field(1, name) + _field(2, _field(1, tensor))

    weight = _field(1, WIDTH) * 2 + _field(2, 3) + _field(8, b"w") + _field(9, b"\x7f" * WIDTH**2)
    node = _field(1, b"x") + _field(1, b"w") + _field(2, b"y") + _field(4, b"MatMulInteger")
    graph = (
        _field(1, node)
        + _field(2, b"product")
        + _field(5, weight)
        + _field(11, value(b"x", 2))
        + _field(12, value(b"y", 6))
    )
    return _field(1, 10) + _field(7, graph) + _field(8, _field(1, b"") + _field(2, 18))


@functools.cache
def products_are_exact(precision: str = "0") -> bool:
    """Return whether integer products are exact, with the session option as given."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.add_session_config_entry(PRECISION, precision)
    session = onnxruntime.InferenceSession(
        product_graph(), options, providers=["CPUExecutionProvider"]
    )
    for rows in (1, 2, 8, 33):  # kernels differ by the number of rows
        (y,) = session.run(["y"], {"x": np.full((rows, WIDTH), 255, np.uint8)})
        if not np.all(y == 255 * 127 * WIDTH):
            return False
    return True
