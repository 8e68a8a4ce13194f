"""The joint as a graph, in any arithmetic: f (B, J), g (B, J) float32 -> logits (B, C)."""

from __future__ import annotations

from export.onnx.arithmetic import Arithmetic
from export.onnx.graph import FLOAT, WeightFile
from export.onnx.integer import IntegerGraph, linear_arrays
from stream.integer.network import IntegerLinear


def write(graph: Arithmetic, size: int, classes: int) -> None:
    """Write the joint of f and g, of a size, with so many classes."""
    f, g = (graph.input(name, FLOAT, ["B", size]) for name in ("f", "g"))
    logits, kind = graph.join(f, g)
    graph.output(logits, "logits", ["B", classes], kind)


def joint_graph(linear: IntegerLinear, exponent: int) -> bytes:
    """Build a joint in integers: f, g (B, J), integers times 2^-exponent -> logits (B, C)."""
    arrays = linear_arrays("joint.output", linear)
    graph = IntegerGraph(
        [WeightFile(arrays, None)], linears={"joint.output": linear}, joint_exponent=exponent
    )
    write(graph, linear.weight.shape[1], len(linear.weight))
    return graph.model("joint.integer")
