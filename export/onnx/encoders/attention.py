"""Attention as nodes: (B, m, size) -> (B, m, size), with a cache of keys and values.

The heads of a group share keys and values, so they are rows of one product.
"""

from __future__ import annotations

from export.onnx.encoders.chunk import Chunk, normalise
from export.onnx.float32 import Float32Graph
from export.onnx.graph import FLOAT
from stream.encoders.attention import Attention

LOWEST = -1e30  # the score of a frame that is not seen: its weight is exactly 0


def write(graph: Float32Graph, part: Attention, x: str, chunk: Chunk, state: str) -> str:
    """Add the branch, and the state of this name as input and output."""
    size, of_keys = part.norm.size, part.groups * part.head_size
    both = 2 * of_keys
    projected = graph.linear(normalise(graph, x, part.norm), f"{part.name}.input")
    queries, new = graph.split_sizes(projected, size, both)
    cache = graph.input(state, FLOAT, ["B", part.left, both])
    graph.output_last(new, f"{state}.new", ["B", "frames", both], FLOAT)
    window = graph.node("Concat", [cache, new], axis=1)
    keys, values = graph.split_sizes(window, of_keys, of_keys)

    keys = graph.reshape(keys, 0, 0, part.groups, part.head_size)
    keys = graph.node("Transpose", [keys], perm=[0, 2, 3, 1])  # (B, groups, head size, left + m)
    keys = _rotated(graph, keys, *chunk.keys, axis=2)
    values = graph.reshape(values, 0, 0, part.groups, part.head_size)
    values = graph.node("Transpose", [values], perm=[0, 2, 1, 3])
    queries = graph.reshape(queries, 0, 0, part.heads, part.head_size)
    queries = _rotated(graph, queries, *chunk.queries, axis=3)
    queries = graph.reshape(queries, 0, 0, part.groups, -1)
    queries = graph.node("Transpose", [queries], perm=[0, 2, 1, 3])
    queries = graph.reshape(queries, 0, 0, -1, part.head_size)  # rows: the heads of each frame

    scores = graph.node("MatMul", [queries, keys])
    scores = graph.node("Where", [chunk.seen, scores, graph.number(LOWEST)])
    y = graph.node("MatMul", [graph.node("Softmax", [scores], axis=-1), values])
    y = graph.reshape(y, 0, 0, -1, size // part.groups)
    y = graph.reshape(graph.node("Transpose", [y], perm=[0, 2, 1, 3]), 0, 0, size)
    return graph.linear(y, f"{part.name}.output")


def _rotated(graph: Float32Graph, x: str, cosines: str, sines: str, *, axis: int) -> str:
    """Add the rotation of the pairs that the halves of an axis are."""
    a = graph.node("Split", [x], outputs=2, axis=axis, num_outputs=2)
    b = f"{a}.1"
    first = [graph.node("Mul", each) for each in ([a, cosines], [b, sines])]
    second = [graph.node("Mul", each) for each in ([a, sines], [b, cosines])]
    halves = [graph.node("Sub", first), graph.node("Add", second)]
    return graph.node("Concat", halves, axis=axis)
