"""Mamba-2 as nodes: (B, m, size) -> (B, m, size), a whole chunk in matrix form.

The names are those of `stream.encoders.mamba`, whose `scan` this is with one block.
"""

from __future__ import annotations

import numpy as np

from export.onnx.encoders.chunk import END, Chunk, convolve, normalise
from export.onnx.float32 import Float32Graph
from export.onnx.graph import FLOAT
from stream.encoders.mamba import KERNEL, Mamba


def write(graph: Float32Graph, part: Mamba, x: str, chunk: Chunk, layer: int) -> str:
    """Add the branch, and the states of a layer as inputs and outputs."""
    projected = graph.linear(normalise(graph, x, part.norm), f"{part.name}.input")
    z, u, dt = graph.split_sizes(projected, part.inner, part.convolved, part.heads)
    u = graph.node("Where", [chunk.present, u, graph.number(0.0)])
    depthwise = f"{part.name}.depthwise"
    u = convolve(graph, u, f"mamba_convolution.{layer}", depthwise, part.convolved, KERNEL)
    v, b, c = graph.split_sizes(graph.silu(u), part.inner, part.state, part.state)
    v = graph.reshape(v, 0, 0, part.heads, -1)
    dt = _softplus(graph, graph.node("Add", [dt, graph.weight(f"{part.name}.dt_bias")]))
    dt = graph.node("Where", [chunk.present, dt, graph.number(0.0)])  # (B, m, heads)
    y = _scan(graph, part, v, dt, b, c, f"mamba.{layer}", chunk)
    skip = graph.unsqueeze(graph.weight(f"{part.name}.skip_scale"), 1)
    y = graph.node("Add", [y, graph.node("Mul", [v, skip])])
    y = graph.node("Mul", [graph.reshape(y, 0, 0, part.inner), graph.silu(z)])
    return graph.linear(normalise(graph, y, part.output_norm), f"{part.name}.output")


def _softplus(graph: Float32Graph, x: str) -> str:
    """Add log(1 + exp(x)), x of three axes: minus the first of log-softmax over (0, x).

    ONNX Runtime's Softplus rounds the last elements of an array in another way than those before, so that a
    row would depend on its place in a batch.
    """
    pairs = graph.node("Pad", [graph.unsqueeze(x, 3), graph.axes(0, 0, 0, 1, 0, 0, 0, 0)])
    logs = graph.node("LogSoftmax", [pairs], axis=-1)
    first = graph.constant("first", np.array(0, np.int64))
    return graph.node("Neg", [graph.node("Gather", [logs, first], axis=-1)])


def _scan(
    graph: Float32Graph, part: Mamba, v: str, dt: str, b: str, c: str, state: str, chunk: Chunk
) -> str:
    """Add the recurrence over v, (B, m, heads, head size), and its state; returns y of the same shape."""
    shape: list[str | int] = ["B", part.heads, part.state, part.inner // part.heads]
    before = graph.input(state, FLOAT, shape)
    entered = graph.node("Mul", [v, graph.unsqueeze(dt, 3)])
    entered = graph.node("Transpose", [entered], perm=[0, 2, 1, 3])  # (B, heads, m, head size)
    rate = graph.node("Neg", [graph.node("Exp", [graph.weight(f"{part.name}.decay")])])
    decay = graph.node("Transpose", [graph.node("Mul", [dt, rate])], perm=[0, 2, 1])
    total = graph.node("CumSum", [decay, graph.axes(2)])  # (B, heads, m)

    # Above the diagonal the difference is positive and its exponential may overflow, unused.
    between = graph.node("Sub", [graph.unsqueeze(total, 3), graph.unsqueeze(total, 2)])
    column = graph.unsqueeze(total, 3)
    b, c = graph.unsqueeze(b, 1), graph.unsqueeze(c, 1)  # (B, 1, m, state)
    of_states = graph.node("Transpose", [b], perm=[0, 1, 3, 2])
    weights = graph.node(
        "Mul", [graph.node("Exp", [between]), graph.node("MatMul", [c, of_states])]
    )
    weights = graph.node("Where", [chunk.earlier, weights, graph.number(0.0)])
    y = graph.node("MatMul", [weights, entered])
    from_before = graph.node("MatMul", [c, before])
    y = graph.node("Add", [y, graph.node("Mul", [graph.node("Exp", [column]), from_before])])

    last = graph.slice(column, graph.axes(-1), graph.axes(END), 2)  # (B, heads, 1, 1)
    rest = graph.node("Exp", [graph.node("Sub", [last, column])])
    new = graph.node("MatMul", [of_states, graph.node("Mul", [rest, entered])])
    old = graph.node("Mul", [graph.node("Exp", [last]), before])
    graph.output_last(graph.node("Add", [old, new]), f"{state}.after", shape, FLOAT)
    return graph.node("Transpose", [y], perm=[0, 2, 1, 3])
