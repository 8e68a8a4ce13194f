"""The stateless prediction network as a graph, in float32.

token (B,), before (B, context - 1, P) -> g (B, J), before.after

In int8 only joint.prediction is rounded.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import numpy as np
from numpy.typing import NDArray

from export.onnx.arithmetic import Arithmetic
from export.onnx.family import Family
from export.onnx.float32 import Float32Graph
from export.onnx.graph import FLOAT, INT64
from export.onnx.ranges import Ranges
from stream.model.network import Network
from stream.model.specification import Specification
from stream.prediction.family import EMBEDDING
from stream.prediction.stateless import WEIGHT
from stream.prediction.stateless import Stateless as Sizes


class Stateless(Family):
    """A weighted sum of the last embeddings; see `Family`."""

    def write(self, graph: Arithmetic, specification: Specification) -> None:
        """Write the prediction network."""
        sizes = specification.prediction
        if not isinstance(graph, Float32Graph) or not isinstance(sizes, Sizes):
            raise self._lacks("integer graphs")
        shape: list[str | int] = ["B", sizes.context - 1, sizes.size]
        token = graph.input("token", INT64, ["B"])
        before = graph.input("before", FLOAT, shape)
        time = graph.constant("time_axis", np.array([1], np.int64))
        latest = graph.node("Unsqueeze", [graph.embed(token, specification.vocabulary), time])
        e = graph.node("Concat", [before, latest], axis=1)
        weight = graph.node("Transpose", [graph.weight(WEIGHT)], perm=[1, 0])
        total = graph.node("ReduceSum", [graph.node("Mul", [e, weight]), time], keepdims=0)
        g = graph.project(graph.node("Relu", [total]), "joint.prediction")
        graph.output(g, "g", ["B", specification.joint])
        bounds = [
            graph.constant("second", np.array([1], np.int64)),
            graph.constant("end", np.array([sizes.context], np.int64)),
        ]
        graph.output(graph.node("Slice", [e, *bounds, time]), "before.after", shape)

    def ranges(self, network: Network) -> dict[str, float]:
        """Return the largest value that any tokens give the input of joint.prediction."""
        embedding, weight = (np.abs(network.arrays[name]) for name in (EMBEDDING, WEIGHT))
        largest = embedding.max(axis=0) * weight.sum(axis=1)
        return {"joint.prediction": float(largest.max())}

    def int8_arrays(
        self, network: Network, ranges: Ranges, float_layers: Collection[str]
    ) -> dict[str, NDArray[Any]]:
        """Return nothing: sums of two vectors are float32."""
        return {}
