"""Block floating point as Myrtle's card computes it: bfloat16 and 8-bit mantissas with shared exponent.

NUMERICS 3.3, exact, forward only, over the array namespace of the input, float32 in and out:

1. bf16: 8 exponent and 7 mantissa bits, round to nearest, ties away from zero.
2. bfp: after bf16, blocks of 8 along the last axis share the exponent E of their largest magnitude;
   a value becomes a multiple of 2^(E - 6), rounded half towards +infinity, within +-127 of them.

The last axis is the contraction axis; a short last block is a block of its own.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from array_api_compat import array_namespace, device, is_torch_array

from stream.stage import Array

BLOCK = 8
MANTISSA_BITS = 6  # after the leading one of the block's largest value
LARGEST = 127


def bf16(x: Array) -> Array:
    """Round x, float32 of any shape, to the nearest bfloat16, ties away from zero.

    Not finite values stay as they are.
    """
    # Adding half a unit to the pattern rounds the magnitude, whatever the sign: ties go away from zero.
    bits = _view(x, "int32") + 0x8000
    rounded = _view(bits & -0x10000, "float32")
    xp = array_namespace(x)
    return xp.where(xp.isfinite(x), rounded, x)


def bfp(x: Array) -> Array:
    """Round x, (..., n) float32, to block floating point along the last axis."""
    xp = array_namespace(x)
    x = bf16(x)
    length = x.shape[-1]
    fill = -length % BLOCK
    if fill:  # zeros cannot raise a block's exponent
        zeros = xp.zeros((*x.shape[:-1], fill), dtype=x.dtype, device=device(x))
        x = xp.concat([x, zeros], axis=-1)
    blocks = xp.reshape(x, (*x.shape[:-1], -1, BLOCK))
    largest = xp.max(xp.abs(blocks), axis=-1, keepdims=True)
    # A power of two below float32's smallest normal number cannot divide: 2^-120 is zero to any sum.
    exponent = xp.floor(xp.log2(xp.clip(largest, 2.0**-120, None)))
    unit = xp.exp2(exponent - MANTISSA_BITS)
    steps = xp.clip(xp.floor(blocks / unit + 0.5), -LARGEST, LARGEST)
    return xp.reshape(steps * unit, x.shape)[..., :length]


def _view(x: Array, dtype: str) -> Array:
    if is_torch_array(x):
        xp: Any = array_namespace(x)
        return x.contiguous().view(getattr(xp, dtype))
    return np.ascontiguousarray(x).view(dtype)
