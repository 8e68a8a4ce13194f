"""What all layers of a chunk share, and the parts that layers have in common: norms and convolutions over time."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from export.onnx.float32 import Float32Graph
from export.onnx.graph import BOOL, FLOAT
from stream.encoders.conformer import Conformer
from stream.encoders.norm import Norm
from stream.encoders.operations import EPSILON
from stream.encoders.windows import BASE

END = np.iinfo(np.int64).max  # of a slice that goes to the end


@dataclass(frozen=True)
class Chunk:
    """Values of a graph, m encoder frames.

    Attributes:
        present: (B, m, 1) bool, whether a frame lies within its stream.
        seen: (B, 1, 1, left + m) bool, which frames of cache and chunk attention sees.
        keys, queries: cosines and sines of the rotation, (head size / 2, left + m) and (m, 1, head size / 2);
            those of queries have the factor 1 / sqrt(head size).
        earlier: (m, m) bool, whether a frame, of the second axis, is not after another.
    """

    present: str
    seen: str
    keys: tuple[str, str]
    queries: tuple[str, str]
    earlier: str


def share(graph: Float32Graph, sizes: Conformer, present: str) -> Chunk:
    """Add what the layers of a chunk share, and the state `filled` as input and output.

    Args:
        present: (B, n, 1) bool, of the input's frames.
    """
    step = graph.axes(sizes.subsampling)  # a frame of which a part is present is
    bounds = [graph.axes(0), graph.axes(END), graph.axes(1), step]
    present = graph.node("Slice", [present, *bounds])
    new = graph.node("Cast", [present], to=FLOAT)
    graph.output_last(new, "filled.new", ["B", "frames", 1], FLOAT)
    cache = graph.input("filled", FLOAT, ["B", sizes.left, 1])
    filled = graph.node("Cast", [graph.node("Concat", [cache, new], axis=1)], to=BOOL)
    seen = graph.unsqueeze(graph.node("Transpose", [filled], perm=[0, 2, 1]), 1)

    most = max(sizes.chunk_lengths) // (10 * sizes.subsampling)
    head_size = sizes.size // sizes.heads
    frequencies = BASE ** (-np.arange(0, head_size, 2) / head_size)
    angles = np.arange(sizes.left + most)[:, None] * frequencies
    frames = graph.node("Shape", [present], start=1, end=2)
    end = graph.node("Add", [frames, graph.axes(sizes.left)])

    def table(name: str, values: NDArray[np.float64], begin: int, axis: int) -> str:
        constant = graph.constant(name, values.astype(np.float32))
        return graph.slice(constant, graph.axes(begin), end, axis)

    tables = {"cosines": np.cos(angles), "sines": np.sin(angles)}
    keys = [table(f"keys.{name}", values.T, 0, 1) for name, values in tables.items()]
    queries = [
        table(f"queries.{name}", values[:, None] * head_size**-0.5, sizes.left, 0)
        for name, values in tables.items()
    ]
    earlier = graph.constant("earlier", np.tri(most, dtype=np.bool_))
    for axis in (0, 1):
        earlier = graph.slice(earlier, graph.axes(0), frames, axis)
    return Chunk(present, seen, (keys[0], keys[1]), (queries[0], queries[1]), earlier)


def normalise(graph: Float32Graph, x: str, norm: Norm) -> str:
    """Add a norm over the last axis."""
    scale = graph.weight(f"{norm.name}.scale")
    if norm.kind == "layer":
        bias = graph.weight(f"{norm.name}.bias")
        return graph.node("LayerNormalization", [x, scale, bias], axis=-1, epsilon=EPSILON)
    # ONNX Runtime computes these six nodes as one.
    squares = graph.node("Pow", [x, graph.number(2.0)])
    mean = graph.node("ReduceMean", [squares, graph.axes(-1)], keepdims=1)
    root = graph.node("Sqrt", [graph.node("Add", [mean, graph.number(EPSILON)])])
    return graph.node("Mul", [graph.node("Div", [x, root]), scale])


def convolve(graph: Float32Graph, x: str, state: str, name: str, channels: int, kernel: int) -> str:
    """Add a causal depthwise convolution over time, with its bias, and its cache as input and output.

    Args:
        x: (B, m, channels).
        state: the name of the cache, (B, kernel - 1, channels), the frames before x.
        name: of the arrays `NAME.weight` (channels, kernel) and `NAME.bias`.
    """
    before = graph.input(state, FLOAT, ["B", kernel - 1, channels])
    frames = graph.node("Concat", [before, x], axis=1)
    graph.output_last(x, f"{state}.new", ["B", "frames", channels], FLOAT)
    # ONNX Runtime computes a convolution over two axes many times faster than the same over one.
    image = graph.unsqueeze(graph.node("Transpose", [frames], perm=[0, 2, 1]), 2)
    weight = graph.unsqueeze(graph.weight(f"{name}.weight"), 1, 2)
    inputs = [image, weight, graph.weight(f"{name}.bias")]
    y = graph.node("Conv", inputs, group=channels, kernel_shape=[1, kernel])
    return graph.node("Transpose", [graph.node("Squeeze", [y, graph.axes(2)])], perm=[0, 2, 1])
