"""Refuse a model that looks ahead: no later frame may change an earlier output.

The check runs the real model: it perturbs everything after a frame, with NaN and with large finite
values, and compares the outputs that are due before. Training and export call it at start.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from stream.features import BINS, STACK
from stream.network import TIME_STACK

__all__ = ["CausalityError", "check_causal"]

Encode = Callable[[NDArray[np.float32]], NDArray[np.float32]]
PAIRS = 6


class CausalityError(ValueError):
    """A model in which a later sample changes an earlier output; it cannot stream."""


def check_causal(encode: Encode, name: str) -> None:
    """Check an encoder.

    Args:
        encode: (1, S, 240) float32 stacked frames, S even, -> (1, S / 2, J), from the initial state.
        name: of the encoder, for the message.
    Raises:
        CausalityError: an output changed with frames that come after it.
    """
    rng = np.random.default_rng(0)
    x = rng.standard_normal((1, PAIRS * TIME_STACK, STACK * BINS)).astype(np.float32)
    want = encode(x)
    for pair in range(1, PAIRS):
        for value in (np.float32(np.nan), np.float32(100.0)):
            disturbed = x.copy()
            disturbed[:, pair * TIME_STACK :] = value
            got = encode(disturbed)[:, :pair]
            # A product over other values may round another way, so equality is up to rounding.
            if not np.allclose(got, want[:, :pair], rtol=1e-4, atol=1e-4):
                step = int(
                    np.flatnonzero(~np.isclose(got, want[:, :pair], 1e-4, 1e-4).all((0, 2)))[0]
                )
                raise CausalityError(
                    f"{name}: encoder frame {step} ({0.06 * step:.2f} s) changes when frames from "
                    f"{0.06 * pair:.2f} s on are set to {value}. A stream cannot know them: use "
                    "layers that only look back."
                )
