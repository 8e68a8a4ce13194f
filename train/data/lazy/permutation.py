"""A keyed permutation of 0 to size - 1: any place of a shuffled list without the list.

A Feistel network over the next power of four permutes whatever its rounds compute; numbers that fall
outside are permuted until they fall inside (cycle walking: Black and Rogaway, 2002), at most four
times on average. Every value depends on the key and its place alone, so nothing is stored and nothing is
drawn in order.
"""

from __future__ import annotations

import hashlib

import numpy as np
from numpy.typing import NDArray

ROUNDS = 8
Places = NDArray[np.uint64]


def key_of(*parts: int) -> int:
    """Return a key of 64 bits that whole numbers have together."""
    content = ",".join(map(str, parts)).encode()
    return int.from_bytes(hashlib.blake2b(content, digest_size=8).digest(), "big")


def permuted(places: NDArray[np.int64], size: int, key: int) -> NDArray[np.int64]:
    """Return what stands at some places of the permutation of range(size).

    Args:
        places: (n,) int64, each from 0 to size - 1.
        key: of the permutation, 64 bits.
    Returns:
        (n,) int64.
    """
    half = max(1, -(-(size - 1).bit_length() // 2))  # bits of one half
    keys = [np.uint64(key_of(key, number)) for number in range(ROUNDS)]
    values = _round(places.astype(np.uint64), half, keys)
    while (outside := values >= size).any():
        values[outside] = _round(values[outside], half, keys)
    return values.astype(np.int64)


def _round(values: Places, half: int, keys: list[np.uint64]) -> Places:
    """Permute range(4**half) once."""
    shift, mask = np.uint64(half), np.uint64((1 << half) - 1)
    left, right = values >> shift, values & mask
    for key in keys:
        left, right = right, left ^ (_mixed(right + key) & mask)
    return (left << shift) | right


def _mixed(x: Places) -> Places:
    """Mix the bits of numbers (the finaliser of splitmix64)."""
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return x ^ (x >> np.uint64(31))
