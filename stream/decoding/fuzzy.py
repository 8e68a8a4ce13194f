"""Fuzzy top-k: the logits as Myrtle's card passes them to its beam search (NUMERICS 4.4).

The classes come in packets of 8 vectors of 32 lanes. Of each packet and lane only the largest logit is
kept, the first on ties; all others become the smallest of those kept in the row.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

VECTORS = 8  # in a packet
LANES = 32  # in a vector


def fuzzy_logits(logits: NDArray[Any]) -> NDArray[Any]:
    """Return the logits with those that are not kept at the smallest that is.

    Args:
        logits: (B, C), floats, C a multiple of 256.
    Raises:
        ValueError: C is no multiple of 256.
    """
    batch, classes = logits.shape
    if classes % (VECTORS * LANES):
        raise ValueError(f"fuzzy top-k: {classes} classes, wants a multiple of {VECTORS * LANES}")
    packets = logits.reshape(batch, -1, VECTORS, LANES)
    places = packets.argmax(axis=2)[:, :, None]
    kept = np.take_along_axis(packets, places, axis=2)
    floor = kept.min(axis=(1, 2, 3), keepdims=True)
    out = np.broadcast_to(floor, packets.shape).copy()
    np.put_along_axis(out, places, kept, axis=2)
    return out.reshape(batch, classes)
