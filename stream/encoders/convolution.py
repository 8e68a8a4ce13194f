"""The convolution branch: gated linear units, a causal depthwise convolution, a norm over channels.

    u = a sigmoid(b), (a, b) = W_in norm(x)
    y[t] = W_out silu(norm(sum_k w[k] u[t - kernel + 1 + k] + bias))

State: the last kernel - 1 frames of u, a cache, zeros at the start. Frames that are absent are zeros too.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from array_api_compat import array_namespace

from stream.encoders.family import Arrays
from stream.encoders.linear import linear
from stream.encoders.norm import Norm
from stream.encoders.operations import Operations, zero_absent
from stream.stage import Array, State


@dataclass(frozen=True)
class Convolution:
    """A convolution branch.

    Attributes:
        name: of its arrays: `norm.…`, `input.weight` (2 size, size), `depthwise.weight` (size, kernel),
            `depthwise.bias` (size,), `output_norm.…`, `output.weight` (size, size).
        norm, output_norm: of its input, and of what the convolution gives.
        kernel: frames that it sees, its own included.
        operations: that compute it.
    """

    name: str
    norm: Norm
    output_norm: Norm
    kernel: int
    operations: Operations

    caches = True

    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Return the shapes of the arrays by name."""
        size = self.norm.size
        return {
            **self.norm.shapes(),
            f"{self.name}.input.weight": (2 * size, size),
            f"{self.name}.depthwise.weight": (size, self.kernel),
            f"{self.name}.depthwise.bias": (size,),
            **self.output_norm.shapes(),
            f"{self.name}.output.weight": (size, size),
        }

    def initial_state(self, batch: int) -> State:
        """Return zeros, (batch, kernel - 1, size)."""
        return np.zeros((batch, self.kernel - 1, self.norm.size), np.float32)

    def advance(
        self, arrays: Arrays, x: Array, state: State, present: Array | None
    ) -> tuple[Array, State]:
        """Return the branch's output for x, (batch, n, size), and u."""
        xp = array_namespace(x)
        both = linear(self.norm.of(arrays, x), arrays[f"{self.name}.input.weight"])
        u = zero_absent(self.operations.glu(both), present)
        y = self.operations.depthwise(
            xp.concat([state, u], axis=1), arrays[f"{self.name}.depthwise.weight"]
        )
        y = self.output_norm.of(arrays, y + arrays[f"{self.name}.depthwise.bias"])
        return linear(self.operations.silu(y), arrays[f"{self.name}.output.weight"]), u
