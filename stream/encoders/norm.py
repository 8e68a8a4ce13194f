"""RMSNorm and LayerNorm over the channels of a frame: neither knows its batch or its neighbours in time."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

from array_api_compat import array_namespace

from stream.encoders.family import Arrays
from stream.stage import Array

NormKind: TypeAlias = Literal["rms", "layer"]
EPSILON = 1e-5


@dataclass(frozen=True)
class Norm:
    """A normalisation of vectors.

    Attributes:
        name: of its arrays, `scale` and with "layer" `bias`, (size,) each.
        size: of a vector.
        kind: "rms" divides by the root of the mean square; "layer" subtracts the mean before.
    """

    name: str
    size: int
    kind: NormKind

    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Return the shapes of the arrays by name."""
        keys = ("scale", "bias") if self.kind == "layer" else ("scale",)
        return {f"{self.name}.{key}": (self.size,) for key in keys}

    def of(self, arrays: Arrays, x: Array) -> Array:
        """Return x, (..., size), normalised."""
        xp = array_namespace(x)
        if self.kind == "layer":
            x = x - xp.mean(x, axis=-1, keepdims=True)
        scale = xp.mean(x * x, axis=-1, keepdims=True) + EPSILON
        y = x / xp.sqrt(scale) * arrays[f"{self.name}.scale"]
        return y + arrays[f"{self.name}.bias"] if self.kind == "layer" else y
