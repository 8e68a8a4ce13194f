"""RMSNorm and LayerNorm over the channels of a frame: neither knows its batch or its neighbours in time."""

from __future__ import annotations

from dataclasses import dataclass

from stream.encoders.family import Arrays
from stream.encoders.operations import NormKind, Operations
from stream.stage import Array


@dataclass(frozen=True)
class Norm:
    """A normalisation of vectors.

    Attributes:
        name: of its arrays, `scale` and with "layer" `bias`, (size,) each.
        size: of a vector.
        kind: "rms" divides by the root of the mean square; "layer" subtracts the mean before.
        operations: that compute it.
    """

    name: str
    size: int
    kind: NormKind
    operations: Operations

    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Return the shapes of the arrays by name."""
        keys = ("scale", "bias") if self.kind == "layer" else ("scale",)
        return {f"{self.name}.{key}": (self.size,) for key in keys}

    def of(self, arrays: Arrays, x: Array) -> Array:
        """Return x, (..., size), normalised."""
        bias = arrays[f"{self.name}.bias"] if self.kind == "layer" else None
        return self.operations.normalise(x, arrays[f"{self.name}.scale"], bias)
