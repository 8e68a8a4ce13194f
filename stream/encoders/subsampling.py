"""Subsampling: causal convolutions over time and frequency, 10 ms log-mel frames -> encoder frames.

Each stage joins `stride` frames, sees stride - 1 before them, and halves the frequencies:

    y[t, f] = silu(sum over (i, j, c) of w[:, c, i, j] x[stride t - stride + 1 + i, 2 f - 1 + j, c] + bias)

A linear layer makes an encoder frame of what the last stage gives. State: the last stride - 1 frames
before each stage, zeros at the start.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from array_api_compat import array_namespace

from stream.encoders.family import Arrays
from stream.encoders.linear import linear
from stream.encoders.operations import Operations
from stream.front_end.log_mel import BINS
from stream.stage import Array, State

STRIDES = {4: (2, 2), 6: (2, 3), 8: (2, 2, 2)}  # of the stages, by the frames that all of them join
FREQUENCIES = 3  # that a kernel sees, of which the next one begins 2 further


@dataclass(frozen=True)
class Subsampling:
    """The stages before the layers.

    Attributes:
        name: of its arrays: `N.weight` (channels, inputs, 2 stride - 1, 3) and `N.bias` (channels,) of
            each stage, `output.weight` (size, frequencies x channels), the channels of a frequency side
            by side, and `output.bias` (size,).
        joined: log-mel frames of an encoder frame, a key of `STRIDES`.
        channels: of every stage.
        size: of an encoder frame.
        operations: that compute it.
    """

    name: str
    joined: int
    channels: int
    size: int
    operations: Operations

    @property
    def stages(self) -> tuple[tuple[int, int, int], ...]:
        """The stride, the channels and the frequencies of the input of each stage."""
        return tuple(
            (stride, self.channels if n else 1, BINS >> n)
            for n, stride in enumerate(STRIDES[self.joined])
        )

    @property
    def repeated_macs(self) -> int:
        """The multiply-adds of an encoder frame above one for each weight: kernels are used all over it."""
        shapes, macs, left = self.shapes(), 0, self.joined
        for n, (stride, _, frequencies) in enumerate(self.stages):
            left //= stride  # outputs of the stage in an encoder frame
            macs += math.prod(shapes[f"{self.name}.{n}.weight"]) * (left * frequencies // 2 - 1)
        return macs

    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Return the shapes of the arrays by name."""
        shapes: dict[str, tuple[int, ...]] = {}
        for n, (stride, channels, _) in enumerate(self.stages):
            kernel = (self.channels, channels, 2 * stride - 1, FREQUENCIES)
            shapes |= {f"{self.name}.{n}.weight": kernel, f"{self.name}.{n}.bias": kernel[:1]}
        features = self.channels * (BINS >> len(self.stages))
        shapes[f"{self.name}.output.weight"] = (self.size, features)
        shapes[f"{self.name}.output.bias"] = (self.size,)
        return shapes

    def initial_state(self, batch: int) -> State:
        """Return zeros, (batch, stride - 1, frequencies, channels) for each stage."""
        return tuple(
            np.zeros((batch, stride - 1, frequencies, channels), np.float32)
            for stride, channels, frequencies in self.stages
        )

    def step(self, arrays: Arrays, x: Array, state: State) -> tuple[Array, State]:
        """Return encoder frames, (batch, n / joined, size), of x, (batch, n, 80), and the state after."""
        xp, after = array_namespace(x), []
        y = x[..., None]
        for n, (before, (stride, _, _)) in enumerate(zip(state, self.stages, strict=True)):
            frames = xp.concat([before, y], axis=1)
            after.append(frames[:, y.shape[1] :])
            y = self.operations.convolve(frames, arrays[f"{self.name}.{n}.weight"], stride)
            y = self.operations.silu(y + arrays[f"{self.name}.{n}.bias"])
        y = xp.reshape(y, (*y.shape[:2], -1))
        y = linear(y, arrays[f"{self.name}.output.weight"])
        return y + arrays[f"{self.name}.output.bias"], tuple(after)
