"""Windows: which frames a frame sees, for all the chunks of a step at once.

A frame sees its own chunk and the `left` frames before its chunk, as far as they are present. So frames are
taken in blocks of whole chunks, at least `left` long, and a block needs no other keys than its own and the
last `left` before it: memory is linear in the length of the step. With a chunk a step, the only block is the
chunk, and the frames before it are the cache.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from array_api_compat import array_namespace, device

from stream.stage import Array, constant_like

BASE = 10_000.0  # of the rotation's wavelengths (Su et al., 2021)


@dataclass(frozen=True)
class Blocks:
    """The frames of a step in blocks.

    Attributes:
        frames: encoder frames of the step.
        left: frames before a chunk that it sees.
        block: frames of a block, a multiple of a chunk; the last block is filled up.
        blocks: their number.
    """

    frames: int
    left: int
    block: int
    blocks: int

    def queries(self, x: Array) -> Array:
        """Return x, (batch, groups, frames, …), in blocks, (batch, groups, blocks, block, …)."""
        xp = array_namespace(x)
        missing = self.blocks * self.block - self.frames
        if missing:
            fill = xp.zeros((*x.shape[:2], missing, *x.shape[3:]), dtype=x.dtype, device=device(x))
            x = xp.concat([x, fill], axis=2)
        return xp.reshape(x, (*x.shape[:2], self.blocks, self.block, *x.shape[3:]))

    def keys(self, x: Array) -> Array:
        """Return the window of each block.

        Args:
            x: (batch, groups, left + frames, …), the cache and the step.
        Returns:
            (batch, groups, blocks, left + block, …).
        """
        xp = array_namespace(x)
        own = self.queries(x[:, :, self.left :])
        before = x[:, :, None, : self.left]
        if self.blocks > 1:
            last = own[:, :, :-1, self.block - self.left :]
            before = xp.concat([before, last], axis=2)
        return xp.concat([before, own], axis=3)

    def frames_of(self, blocks: Array) -> Array:
        """Return frames, (batch, groups, frames, …), of blocks: what `queries` did, undone."""
        xp = array_namespace(blocks)
        shape = (*blocks.shape[:2], self.blocks * self.block, *blocks.shape[4:])
        return xp.reshape(blocks, shape)[:, :, : self.frames]


@dataclass(frozen=True)
class Windows(Blocks):
    """The windows of a step.

    Attributes:
        filled: (batch, left) bool, which places of the cache hold a frame after the step.
        seen: (batch, 1, blocks, block, 1, left + block) bool, whether a frame sees a place of its window.
        cosines, sines: (left + frames, head size / 2), the rotation of each place, the oldest cached
            one first. Products of rotated vectors depend on the distance between their places alone.
    """

    filled: Array
    seen: Array
    cosines: Array
    sines: Array

    def rotate(self, x: Array) -> Array:
        """Rotate vectors by their places, the newest of which is the step's last frame.

        Args:
            x: (batch, groups, n, …, head size), n at most left + frames.
        """
        xp = array_namespace(x)
        n, half = x.shape[2], x.shape[-1] // 2
        shape = (n, *(1,) * (x.ndim - 4), half)
        cosines = xp.reshape(self.cosines[-n:], shape)
        sines = xp.reshape(self.sines[-n:], shape)
        a, b = x[..., :half], x[..., half:]
        return xp.concat([a * cosines - b * sines, a * sines + b * cosines], axis=-1)


def windows(
    filled: Array, present: Array | None, like: Array, chunk: int, left: int, head_size: int
) -> Windows:
    """Return the windows of a step.

    Args:
        filled: (batch, left) bool, which places of the cache hold a frame.
        present: (batch, frames) bool, which frames of the step are present; None: all.
        like: (batch, frames, …), of the dtype of the rotation.
        chunk: encoder frames of a chunk, of which `frames` is a multiple.
        left: frames before a chunk that it sees.
        head_size: of the vectors to rotate.
    """
    xp = array_namespace(like)
    batch, frames = like.shape[:2]
    block = min(frames, chunk * max(1, -(-left // chunk)))
    blocks = Blocks(frames, left, block, -(-frames // block))
    if present is None:
        present = xp.ones((batch, frames), dtype=xp.bool, device=device(like))
    there = xp.concat([filled, present], axis=1)
    # The place in its window where the window of a frame's chunk begins.
    first = np.arange(block)[:, None] // chunk * chunk
    place = np.arange(left + block)[None, :]
    near = constant_like((place >= first) & (place < first + left + chunk), like)
    in_windows = blocks.keys(there[:, None])[:, :, :, None, None, :]
    places = np.arange(left + frames)[:, None] * BASE ** (-np.arange(0, head_size, 2) / head_size)
    return Windows(
        *(frames, left, block, blocks.blocks),
        filled=there[:, frames:],
        seen=in_windows & near[:, None, :],
        cosines=constant_like(np.cos(places), like),
        sines=constant_like(np.sin(places), like),
    )
