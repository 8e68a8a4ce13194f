"""A backend that finds the ranges of an encoder's linear layers: what goes into each, on what is encoded.

Its encoder is the float32 graph with a state more for each layer: the largest magnitude of its input so far.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from export.onnx.encoders import encoder_of
from export.onnx.float32 import Float32Graph
from export.onnx.graph import FLOAT, WeightFile
from stream.backends.onnx import OnnxBackend
from stream.model.network import Network
from stream.stage import Floats, Mask, State

LARGEST = "largest."


@dataclass
class WatchedGraph(Float32Graph):
    """A float32 graph that remembers the largest input of each linear layer."""

    def linear(self, x: str, layer: str) -> str:
        state = f"{LARGEST}{layer}"
        before = self.input(state, FLOAT, ["B", 1])
        values = self.reshape(self.node("Abs", [x]), 0, -1)
        largest = self.node("ReduceMax", [values, self.axes(1)], keepdims=1)
        self.output_last(self.node("Max", [before, largest]), f"{state}.after", ["B", 1], FLOAT)
        return super().linear(x, layer)


class WatchedBackend(OnnxBackend):
    """The ONNX backend of a network, with float32 graphs.

    Args:
        graphs: in float32, weights inside, by file name (`export.build.build`).
    Attributes:
        layers: the largest magnitude of each linear layer's input, in all that has been encoded.
    """

    def __init__(self, network: Network, graphs: dict[str, bytes]) -> None:
        spec = network.specification
        graph = WatchedGraph([WeightFile(network.arrays, None)])
        encoder_of(spec).write(graph, spec)
        super().__init__(network, {**graphs, "encoder.onnx": graph.model("encoder")})
        self.layers: dict[str, float] = {}

    def encode(self, x: Floats, state: State, present: Mask | None = None) -> tuple[Floats, State]:
        if present is None:
            present = np.ones(x.shape[:2], np.bool_)
        chunk, found = self.specification.encoder.chunk_inputs, []
        for begin in range(0, x.shape[1], chunk):
            part = slice(begin, begin + chunk)
            f, state = super().encode(x[:, part], state, present[:, part])
            found.append(f)
            self._watch(state, present[:, begin])
        return np.concatenate(found, axis=1), state

    def _watch(self, state: State, rows: Mask) -> None:
        """Take the ranges of some rows: those of the others may come from frames that pad a batch."""
        for name, leaf in zip(self.state_names, state, strict=True):
            if name.startswith(LARGEST) and rows.any():
                layer = name.removeprefix(LARGEST)
                self.layers[layer] = max(self.layers.get(layer, 0.0), float(leaf[rows].max()))
