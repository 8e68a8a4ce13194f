"""Subsampling as nodes: log-mel frames (B, n, 80) -> encoder frames (B, m, size)."""

from __future__ import annotations

from export.onnx.encoders.chunk import END
from export.onnx.float32 import Float32Graph
from export.onnx.graph import FLOAT
from stream.encoders.subsampling import FREQUENCIES, Subsampling


def write(graph: Float32Graph, part: Subsampling, x: str) -> str:
    """Add the convolutions and the linear layer after them, and the states as inputs and outputs."""
    y = graph.unsqueeze(x, 1)
    for n, (stride, channels, frequencies) in enumerate(part.stages):
        state = f"subsampling.{n}"
        shape: list[str | int] = ["B", channels, stride - 1, frequencies]
        frames = graph.node("Concat", [graph.input(state, FLOAT, shape), y], axis=2)
        last = graph.slice(frames, graph.axes(1 - stride), graph.axes(END), 2)
        graph.output_last(last, f"{state}.after", shape, FLOAT)
        y = graph.node(
            "Conv",
            [frames, *(graph.weight(f"{part.name}.{n}.{key}") for key in ("weight", "bias"))],
            kernel_shape=[2 * stride - 1, FREQUENCIES],
            strides=[stride, 2],
            pads=[0, 1, 0, 1],
        )
        y = graph.silu(y)
    y = graph.node("Transpose", [y], perm=[0, 2, 3, 1])
    return graph.linear(graph.reshape(y, 0, 0, -1), f"{part.name}.output")
