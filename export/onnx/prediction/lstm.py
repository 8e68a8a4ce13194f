"""The LSTM prediction network as a graph, in any arithmetic.

token (B,) int64, blank for start; h, c of each layer (`export.onnx.lstm`) -> g (B, J), the states after
"""

from __future__ import annotations

from collections.abc import Collection

from export.onnx import int8, lstm
from export.onnx.arithmetic import Arithmetic
from export.onnx.family import Family
from export.onnx.graph import INT64
from export.onnx.ranges import Ranges
from stream.integer.network import IntegerLayer, IntegerNetwork
from stream.model.network import Network
from stream.model.specification import Specification

STACK = "prediction.lstm"


class LSTM(Family):
    """LSTM layers over the embedding of the last token; see `Family`."""

    def write(self, graph: Arithmetic, specification: Specification) -> None:
        """Write the prediction network."""
        token = graph.input("token", INT64, ["B"])
        x = graph.embed(token, specification.vocabulary)
        stack = lstm.Stack.of(graph, specification, STACK, "")
        h = stack.step(x)
        stack.finish()
        graph.output(graph.project(h, "joint.prediction"), "g", ["B", specification.joint])

    def int8_arrays(
        self, network: Network, ranges: Ranges, float_layers: Collection[str]
    ) -> lstm.Arrays:
        """Return the weights of all layers but those in float, and the embedding."""
        embedding, scale = int8.embedding(network.arrays["prediction.embedding"])
        arrays = lstm.int8_arrays(network, STACK, scale, float_layers)
        if f"{STACK}.0" not in float_layers:
            arrays["prediction.embedding"] = embedding
        return arrays

    def integer_layers(self, network: IntegerNetwork) -> dict[str, IntegerLayer]:
        """Return all layers."""
        return {f"{STACK}.{n}": layer for n, layer in enumerate(network.prediction)}
