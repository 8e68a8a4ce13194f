"""What the parts of a Conformer compute besides matrix products, over the array namespace of the input.

Training replaces some of these by torch's own functions of equal values and gradients, and adds dropout
(`train.encoders.conformer`).
"""

from __future__ import annotations

from typing import Literal, TypeAlias

from array_api_compat import array_namespace, device

from stream.encoders.linear import linear
from stream.stage import Array

NormKind: TypeAlias = Literal["rms", "layer"]
EPSILON = 1e-5  # of normalisations


class Operations:
    """The functions in their readable form."""

    def silu(self, x: Array) -> Array:
        """Return x sigmoid(x)."""
        return x * sigmoid(x)

    def glu(self, x: Array) -> Array:
        """Return a sigmoid(b), (..., n), of x = (a, b), (..., 2 n)."""
        half = x.shape[-1] // 2
        return x[..., :half] * sigmoid(x[..., half:])

    def swiglu(self, x: Array) -> Array:
        """Return silu(a) b, (..., n), of x = (a, b), (..., 2 n)."""
        half = x.shape[-1] // 2
        return self.silu(x[..., :half]) * x[..., half:]

    def drop(self, x: Array) -> Array:
        """Return x, the output of a branch, of which training drops some values."""
        return x

    def normalise(self, x: Array, scale: Array, bias: Array | None) -> Array:
        """Divide vectors by the root of their mean square.

        Args:
            x: (..., size).
            scale: (size,) factor of the result.
            bias: (size,) added to it; the mean of a vector is subtracted before. None: neither is done.
        """
        xp = array_namespace(x)
        if bias is not None:
            x = x - xp.mean(x, axis=-1, keepdims=True)
        y = x / xp.sqrt(xp.mean(x * x, axis=-1, keepdims=True) + EPSILON) * scale
        return y if bias is None else y + bias

    def depthwise(self, frames: Array, weight: Array) -> Array:
        """Convolve each channel with its own kernel, looking back only.

        Args:
            frames: (batch, kernel - 1 + n, channels).
            weight: (channels, kernel), the factor of the newest frame last.
        Returns:
            (batch, n, channels).
        """
        kernel = weight.shape[1]
        n = frames.shape[1] - kernel + 1
        y = frames[:, :n] * weight[:, 0]
        for k in range(1, kernel):
            y = y + frames[:, k : k + n] * weight[:, k]
        return y

    def convolve(self, frames: Array, weight: Array, stride: int) -> Array:
        """Convolve over time, by a stride, and over frequency, which is halved.

        Args:
            frames: (batch, stride - 1 + stride n, frequencies, inputs).
            weight: (channels, inputs, 2 stride - 1, 3); an edge of zeros lies beside the frequencies.
        Returns:
            (batch, n, frequencies / 2, channels).
        """
        xp = array_namespace(frames)
        batch, length, frequencies, inputs = frames.shape
        edge = xp.zeros((batch, length, 1, inputs), dtype=frames.dtype, device=device(frames))
        padded = xp.concat([edge, frames, edge], axis=2)
        channels, _, times, width = weight.shape
        end = length - times + 1
        taps = [
            padded[:, i : i + end : stride, j : j + frequencies : 2]
            for i in range(times)
            for j in range(width)
        ]
        kernel = xp.reshape(xp.permute_dims(weight, (0, 2, 3, 1)), (channels, -1))
        return linear(xp.concat(taps, axis=3), kernel)

    def attend(self, queries: Array, keys: Array, values: Array, seen: Array) -> Array:
        """Return the mean of the values that a query sees, weighted by softmax(query key / sqrt(size)).

        Args:
            queries: (batch, groups, blocks, block, heads, size).
            keys, values: (batch, groups, blocks, window, size).
            seen: (batch, 1, blocks, block, 1, window) bool.
        Returns:
            The shape of the queries; zeros for a query that sees nothing.
        """
        xp = array_namespace(queries)
        *front, block, heads, size = queries.shape
        flat = xp.reshape(queries * size**-0.5, (*front, block * heads, size))
        scores = xp.matmul(flat, xp.permute_dims(keys, (0, 1, 2, 4, 3)))
        scores = xp.reshape(scores, (*front, block, heads, -1))
        scores = xp.where(seen, scores, xp.full_like(scores, xp.finfo(scores.dtype).min))
        weights = xp.exp(scores - xp.max(scores, axis=-1, keepdims=True))
        weights = xp.where(seen, weights, xp.zeros_like(weights))
        # The largest weight is 1, unless nothing is seen.
        weights = weights / xp.clip(xp.sum(weights, axis=-1, keepdims=True), 1.0, None)
        weights = xp.reshape(weights, (*front, block * heads, -1))
        return xp.reshape(xp.matmul(weights, known(values)), queries.shape)


PLAIN = Operations()


def sigmoid(x: Array) -> Array:
    """Return 1 / (1 + exp(-x)), in a form that cannot overflow."""
    return 0.5 * array_namespace(x).tanh(0.5 * x) + 0.5


def known(values: Array) -> Array:
    """Return values with 0 for NaN, for products with weights of which those of unseen frames are 0.

    0 times NaN is NaN. Where a frame with NaN is seen, its key, or its B of Mamba, makes the weight NaN.
    """
    xp = array_namespace(values)
    return xp.where(xp.isnan(values), xp.zeros_like(values), values)


def zero_absent(x: Array, present: Array | None) -> Array:
    """Return x, (batch, n, channels), with zeros for the frames that are absent."""
    if present is None:
        return x
    xp = array_namespace(x)
    return xp.where(present[:, :, None], x, xp.zeros_like(x))
