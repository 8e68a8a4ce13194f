"""The LSTM encoder as a graph: one step of two frames, in any arithmetic.

    x (B, 2, 240), second (B, 1), h.pre, c.pre, h.post, c.post of each layer (`export.onnx.lstm`)
    -> f (B, J), the states after

`second` is 0 where the second frame lies past the end of the stream, else 1.
"""

from __future__ import annotations

from collections.abc import Collection

import numpy as np

from export.onnx import lstm
from export.onnx.arithmetic import Arithmetic
from export.onnx.family import Family
from export.onnx.graph import FLOAT
from export.onnx.int8 import input_scale
from export.onnx.ranges import Ranges
from stream.encoders.lstm import PAIR
from stream.front_end.log_mel import BINS
from stream.front_end.stacking import STACK
from stream.integer.network import IntegerLayer, IntegerNetwork
from stream.model.network import Network
from stream.model.specification import Specification

PRE, POST = "encoder.pre", "encoder.post"


class LSTM(Family):
    """LSTM layers before and after pairs of frames are joined; see `Family`."""

    def write(self, graph: Arithmetic, specification: Specification) -> None:
        """Write the encoder."""
        x = graph.input("x", FLOAT, ["B", PAIR, STACK * BINS])
        second = graph.input("second", FLOAT, ["B", 1])
        pre = lstm.Stack.of(graph, specification, PRE, ".pre")
        x = graph.features(x, f"{PRE}.0")
        halves = []
        for half in range(PAIR):
            index = graph.constant(f"index.{half}", np.array(half, np.int64))
            h = pre.step(graph.node("Gather", [x, index], axis=1))
            halves.append(graph.activations(h, f"{POST}.0"))
        pre.finish()
        halves[1] = graph.masked(halves[1], second, f"{POST}.0")
        pair = graph.node("Concat", halves, axis=1)
        post = lstm.Stack.of(graph, specification, POST, ".post")
        h = post.step(pair)
        post.finish()
        graph.output(graph.project(h, "joint.encoder"), "f", ["B", specification.joint])

    def int8_arrays(
        self, network: Network, ranges: Ranges, float_layers: Collection[str]
    ) -> lstm.Arrays:
        """Return the weights of all layers but those in float."""
        scale = input_scale(ranges)
        return {
            "x.scale": np.array(scale, np.float32),
            **lstm.int8_arrays(network, PRE, scale, float_layers),
            **lstm.int8_arrays(network, POST, None, float_layers),
        }

    def integer_layers(self, network: IntegerNetwork) -> dict[str, IntegerLayer]:
        """Return all layers."""
        return {
            f"{prefix}.{n}": layer
            for prefix, layers in ((PRE, network.pre), (POST, network.post))
            for n, layer in enumerate(layers)
        }
