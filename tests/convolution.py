"""A causal convolution: the least encoder family, which the tests register and no product file knows.

Log-mel frames are joined in fours, so an encoder frame is 40 ms, and a step takes 120 ms, or one of several
lengths. It shows what docs/encoders.md says: `Convolution` is all that training, streaming and serving need, `graphs` is what
export to ONNX needs.
"""

from __future__ import annotations

from typing import Any

import msgspec
import numpy as np
from array_api_compat import array_namespace

from stream.encoders.family import Arrays, Encoder
from stream.front_end.log_mel import HOP, SAMPLE_RATE
from stream.front_end.stacking import stack
from stream.stage import Array, State

__all__ = ["Convolution", "graphs"]

JOINED = 4  # log-mel frames in an encoder frame
WEIGHT, BIAS = "encoder.convolution.weight", "encoder.convolution.bias"


class Convolution(
    Encoder,
    msgspec.Struct,
    frozen=True,
    forbid_unknown_fields=True,
    tag="convolution",
    tag_field="family",
):
    """y[t] = relu(W (x[t - 1], x[t]) + b) over joined frames x; state: the last one, (B, 320)."""

    size: int = 16
    chunk_ms: int = 120
    chunks_ms: tuple[int, ...] = ()

    stack = 1
    frame_samples = HOP * JOINED

    @property
    def chunk_samples(self) -> int:
        return self.chunk_ms * SAMPLE_RATE // 1000

    @property
    def chunk_lengths(self) -> tuple[int, ...]:
        return self.chunks_ms or (self.chunk_ms,)

    def shapes(self) -> dict[str, tuple[int, ...]]:
        return {WEIGHT: (self.size, 2 * JOINED * self.inputs), BIAS: (self.size,)}

    def layers(self) -> tuple[str, ...]:
        return ("encoder.convolution",)

    def initial_state(self, batch: int) -> State:
        return np.zeros((batch, JOINED * self.inputs), np.float32)

    def step(
        self, arrays: Arrays, x: Array, state: State, present: Array | None = None
    ) -> tuple[Array, State]:
        xp = array_namespace(x)
        if present is not None:
            x = xp.where(present[:, :, None], x, xp.zeros_like(x))
        joined = xp.concat([state[:, None], stack(x, JOINED)], axis=1)
        pairs = xp.concat([joined[:, :-1], joined[:, 1:]], axis=2)
        y = xp.matmul(pairs, arrays[WEIGHT].T) + arrays[BIAS]
        return xp.clip(y, 0.0, None), joined[:, -1]


def graphs() -> Any:
    """Return the family's graphs, a row of `export.onnx.encoders.FAMILIES`."""
    from export.onnx.family import Family
    from export.onnx.graph import FLOAT

    class Graphs(Family):
        def write(self, graph: Any, specification: Any) -> None:
            encoder = specification.encoder
            bins, joined = encoder.inputs, JOINED * encoder.inputs

            def integers(name: str, *values: int) -> str:
                return str(graph.constant(name, np.array(values, np.int64)))

            x = graph.input("x", FLOAT, ["B", "S", bins])
            present = graph.input("present", FLOAT, ["B", "S"])
            before = graph.input("before", FLOAT, ["B", joined])
            mask = graph.node("Unsqueeze", [present, integers("last_axis", 2)])
            masked = graph.node("Mul", [x, mask])
            frames = graph.node("Reshape", [masked, integers("joined", 0, -1, joined)])
            first = graph.node("Unsqueeze", [before, integers("time_axis", 1)])
            both = graph.node("Concat", [first, frames], axis=1)
            bounds = [integers("begin", 0), integers("end", -1), integers("time_axis", 1)]
            pairs = graph.node("Concat", [graph.node("Slice", [both, *bounds]), frames], axis=2)
            y = graph.node("Relu", [self._linear(graph, pairs, WEIGHT, BIAS)])
            f = self._linear(graph, y, "joint.encoder.weight", "joint.encoder.bias")
            graph.output(f, "f", ["B", "E", specification.joint])
            last = graph.node("Gather", [both, integers("last", -1)], axis=1)
            after = graph.node("Squeeze", [last, integers("time_axis", 1)])
            graph.output(after, "before.after", ["B", joined])

        def _linear(self, graph: Any, x: str, weight: str, bias: str) -> str:
            transposed = graph.node("Transpose", [graph.weight(weight)], perm=[1, 0])
            product = graph.node("MatMul", [x, transposed])
            return str(graph.node("Add", [product, graph.weight(bias)]))

    return Graphs("encoder", "convolution")
