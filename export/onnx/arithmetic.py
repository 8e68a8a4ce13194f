"""What a model's graphs are written with, whether they compute in float32, int8 or integers."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass

from export.onnx.graph import Graph


@dataclass
class Arithmetic(Graph, ABC):
    """A graph with the operators that the parts of a model need.

    Values are named by strings. A *layer* is one of `Specification.layer_names`. Activations are float32,
    or u8 with zero point 128.
    """

    @abstractmethod
    def features(self, x: str, layer: str) -> str:
        """Add the encoder's input, float32, as its first layer takes it."""

    @abstractmethod
    def activations(self, h: str, layer: str) -> str:
        """Add the output of one layer as another takes it."""

    @abstractmethod
    def masked(self, h: str, present: str, layer: str) -> str:
        """Add the input of a layer, with zeros where `present`, (B, 1) float32, is 0."""

    @abstractmethod
    def embed(self, token: str, vocabulary: int) -> str:
        """Add the embedding of tokens, (B,), as the first prediction layer takes it; blank is zeros."""

    @abstractmethod
    def project(self, h: str, layer: str) -> str:
        """Add "joint.encoder" or "joint.prediction" of a layer's output: float32 (B, J)."""

    @abstractmethod
    def join(self, f: str, g: str) -> tuple[str, int]:
        """Add the joint's logits, (B, C), of f and g, (B, J) each; returns them and their type."""
