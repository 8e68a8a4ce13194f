"""The CTC head as a graph: f (B, J) -> log_probabilities (B, C), float32 whatever the encoder's graph is."""

from __future__ import annotations

from export.onnx.float32 import Float32Graph
from export.onnx.graph import FLOAT


def write(graph: Float32Graph, size: int, classes: int) -> None:
    """Write the head of f, of a size, with so many classes."""
    hidden = graph.node("Relu", [graph.input("f", FLOAT, ["B", size])])
    logits = graph.gemm(hidden, "ctc.weight", "ctc.bias")
    scores = graph.node("LogSoftmax", [logits], axis=1)
    graph.output(scores, "log_probabilities", ["B", classes])
