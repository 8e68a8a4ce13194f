"""The SwiGLU feed-forward: W_out (silu(g) v), (g, v) = W_in norm(x) (Shazeer, 2020)."""

from __future__ import annotations

from dataclasses import dataclass

from stream.encoders.family import Arrays
from stream.encoders.linear import linear
from stream.encoders.norm import Norm
from stream.encoders.operations import Operations
from stream.stage import Array


@dataclass(frozen=True)
class FeedForward:
    """A feed-forward branch.

    Attributes:
        name: of its arrays: `norm.…`, `input.weight` (2 inner, size), the gates first, and
            `output.weight` (size, inner).
        norm: of its input.
        inner: size between the two products.
        operations: that compute it.
    """

    name: str
    norm: Norm
    inner: int
    operations: Operations

    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Return the shapes of the arrays by name."""
        return {
            **self.norm.shapes(),
            f"{self.name}.input.weight": (2 * self.inner, self.norm.size),
            f"{self.name}.output.weight": (self.norm.size, self.inner),
        }

    def of(self, arrays: Arrays, x: Array) -> Array:
        """Return the branch's output for x, (batch, n, size)."""
        both = linear(self.norm.of(arrays, x), arrays[f"{self.name}.input.weight"])
        return linear(self.operations.swiglu(both), arrays[f"{self.name}.output.weight"])
