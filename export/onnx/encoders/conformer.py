"""The Conformer encoder as a graph: one chunk of any of its lengths, in float32 or int8.

    x (B, n, 80), present (B, n), states -> f (B, frames, J), the states after

`present` is 0 where a frame lies past the end of its stream, else 1. States are float32, all 0 at the start of a
stream; those with a * are caches, of which the graph gives what the chunk adds (`stream.backends.onnx`, rule 3).
N counts layers; K counts stages of the subsampling, which have a stride S each.

    subsampling.K          (B, channels, S - 1, frequencies)   frames before a stage
    filled *               (B, left, 1)                        1 where the caches hold a frame
    attention.N *          (B, left, 2 groups head size)       keys, group by group, then values
    mamba.N                (B, heads, state, head size)        S of `stream.encoders.mamba`, transposed
    mamba_convolution.N *  (B, 3, inner + 2 state)             frames before its convolution
    convolution.N *        (B, kernel - 1, size)               frames before the convolution

In int8 the linear layers have rounded inputs and weights; everything between them is float32.
"""

from __future__ import annotations

from collections.abc import Collection

from export.onnx import int8
from export.onnx.arithmetic import Arithmetic
from export.onnx.encoders import attention, mamba, subsampling
from export.onnx.encoders.chunk import Chunk, convolve, normalise, share
from export.onnx.family import Family
from export.onnx.float32 import Float32Graph
from export.onnx.graph import BOOL, FLOAT
from export.onnx.ranges import Ranges
from stream.encoders.conformer import Conformer as Sizes
from stream.encoders.conformer import Layer, parts_of
from stream.encoders.convolution import Convolution
from stream.encoders.feed_forward import FeedForward
from stream.encoders.mamba import Mamba
from stream.front_end.log_mel import BINS
from stream.model.network import Network
from stream.model.specification import Specification


class Conformer(Family):
    """Attention or Mamba-2, convolutions and feed-forward; see `Family`."""

    def write(self, graph: Arithmetic, specification: Specification) -> None:
        """Write the encoder."""
        sizes = specification.encoder
        if not isinstance(graph, Float32Graph) or not isinstance(sizes, Sizes):
            raise self._lacks("integer graphs")
        of_subsampling, layers = parts_of(sizes)
        x = graph.input("x", FLOAT, ["B", "n", BINS])
        present = graph.node("Cast", [graph.input("present", FLOAT, ["B", "n"])], to=BOOL)
        present = graph.unsqueeze(present, 2)
        x = graph.node("Where", [present, x, graph.number(0.0)])
        x = subsampling.write(graph, of_subsampling, x)
        chunk = share(graph, sizes, present)
        for n, layer in enumerate(layers):
            x = _layer(graph, layer, x, chunk, n)
        graph.output(graph.linear(x, "joint.encoder"), "f", ["B", "frames", specification.joint])

    @property
    def calibrated(self) -> bool:
        return True

    def int8_arrays(
        self, network: Network, ranges: Ranges, float_layers: Collection[str]
    ) -> int8.Arrays:
        """Return the weights of all linear layers but those in float."""
        return int8.calibrated_arrays(network, "encoder.", ranges.layers, float_layers)


def _layer(graph: Float32Graph, layer: Layer, x: str, chunk: Chunk, n: int) -> str:
    """Add a layer, number n."""
    x = _half_step(graph, layer.feed_forward1, x)
    if isinstance(layer.mixer, Mamba):
        mixed = mamba.write(graph, layer.mixer, x, chunk, n)
    else:
        mixed = attention.write(graph, layer.mixer, x, chunk, f"attention.{n}")
    x = graph.node("Add", [x, mixed])
    x = graph.node("Add", [x, _convolution(graph, layer.convolution, x, chunk, n)])
    return normalise(graph, _half_step(graph, layer.feed_forward2, x), layer.norm)


def _half_step(graph: Float32Graph, part: FeedForward, x: str) -> str:
    """Add x plus half of a feed-forward branch of it."""
    both = graph.linear(normalise(graph, x, part.norm), f"{part.name}.input")
    gates, values = graph.split_sizes(both, part.inner, part.inner)
    y = graph.linear(graph.node("Mul", [graph.silu(gates), values]), f"{part.name}.output")
    return graph.node("Add", [x, graph.node("Mul", [y, graph.number(0.5)])])


def _convolution(graph: Float32Graph, part: Convolution, x: str, chunk: Chunk, n: int) -> str:
    """Add the convolution branch of layer n."""
    size = part.norm.size
    both = graph.linear(normalise(graph, x, part.norm), f"{part.name}.input")
    values, gates = graph.split_sizes(both, size, size)
    u = graph.node("Mul", [values, graph.node("Sigmoid", [gates])])
    u = graph.node("Where", [chunk.present, u, graph.number(0.0)])
    y = convolve(graph, u, f"convolution.{n}", f"{part.name}.depthwise", size, part.kernel)
    y = graph.silu(normalise(graph, y, part.output_norm))
    return graph.linear(y, f"{part.name}.output")
