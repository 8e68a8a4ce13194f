"""Stacking: joining neighbouring frames into one, over the array namespace of the frames."""

from __future__ import annotations

from array_api_compat import array_namespace

from stream.stage import Array

STACK = 3  # log-mel frames in a stacked frame of the LSTM family and of its hardware, 30 ms


def stack(frames: Array, count: int = STACK) -> Array:
    """Join every `count` frames, oldest first: (batch, count n, size) -> (batch, n, count size)."""
    xp = array_namespace(frames)
    batch, length, size = frames.shape
    return xp.reshape(frames, (batch, length // count, count * size))


def join_pairs(h: Array, present: Array | None = None) -> Array:
    """Join frames in pairs, oldest first: (batch, 2 n, size) -> (batch, n, 2 size).

    Args:
        h: the frames.
        present: (batch, 2 n) bool, False where a frame lies past the end of its row and counts as
            zeros.
    """
    if present is not None:
        xp = array_namespace(h)
        h = xp.where(present[:, :, None], h, xp.zeros_like(h))
    return stack(h, 2)
