"""Graphs in float32: operators of ONNX, weights under the names and in the layout of the model."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from export.onnx.arithmetic import Arithmetic
from export.onnx.graph import FLOAT


@dataclass
class Float32Graph(Arithmetic):
    """A graph that computes float32."""

    def gemm(self, x: str, weight: str, bias: str) -> str:
        """Add y = x W^T + b, with the weight as the network has it."""
        return self.node("Gemm", [x, self.weight(weight), self.weight(bias)], transB=1)

    def linear(self, x: str, layer: str) -> str:
        """Add a linear layer over the last axis of x, (B, ..., inputs), with a bias if the model has one."""
        weight = self.node("Transpose", [self.weight(f"{layer}.weight")], perm=[1, 0])
        y = self.node("MatMul", [x, weight])
        if self.has(f"{layer}.bias"):
            y = self.node("Add", [y, self.weight(f"{layer}.bias")])
        return y

    def silu(self, x: str) -> str:
        """Add x sigmoid(x)."""
        return self.node("Mul", [x, self.node("Sigmoid", [x])])

    def features(self, x: str, layer: str) -> str:
        return x

    def activations(self, h: str, layer: str) -> str:
        return h

    def masked(self, h: str, present: str, layer: str) -> str:
        return self.node("Mul", [h, present])

    def embed(self, token: str, vocabulary: int) -> str:
        """Add the embedding; the array has no row for blank."""
        last = self.constant("last_piece", np.array(vocabulary - 1, np.int64))
        is_piece = self.node("Cast", [self.node("LessOrEqual", [token, last])], to=FLOAT)
        known = self.node("Min", [token, last])
        embedded = self.node("Gather", [self.weight("prediction.embedding"), known], axis=0)
        axis = self.constant("axis_one", np.array([1], np.int64))
        return self.node("Mul", [embedded, self.node("Unsqueeze", [is_piece, axis])])

    def project(self, h: str, layer: str) -> str:
        return self.gemm(h, f"{layer}.weight", f"{layer}.bias")

    def join(self, f: str, g: str) -> tuple[str, int]:
        return self.project(self.add_relu(f, g), "joint.output"), FLOAT

    def add_relu(self, f: str, g: str) -> str:
        """Add the joint's hidden vector."""
        return self.node("Relu", [self.node("Add", [f, g])])
