"""Normalisers without statistics: a frame by itself, or not at all. A model with one of them has no
`normaliser.mean` and `normaliser.variance`; nothing of what a channel heard before is left in its frames.

Both map what a channel without sound gives, all bins at the floor, to zeros: what masks and the frames past the end
of a row hold.
"""

from __future__ import annotations

import math

from array_api_compat import array_namespace

from stream.stage import Array, State

EPSILON = 1e-5  # nats squared, beside the variance: of a frame at the floor that is 0


class LayerNormaliser:
    """Normalise each frame by the mean and the variance of its bins: layer normalisation.

    It has no scale and no bias, which would be part of the layer that follows.
    """

    block = 1

    def initial_state(self, batch: int) -> State:
        """Return no state."""
        return ()

    def step(self, x: Array, state: State) -> tuple[Array, State]:
        """Normalise x, (batch, frames, bins), natural log of mel power."""
        xp = array_namespace(x)
        centred = x - xp.mean(x, axis=2, keepdims=True)
        variance = xp.mean(centred * centred, axis=2, keepdims=True)
        return centred / xp.sqrt(variance + EPSILON), state


class AboveFloor:
    """Leave frames as they are, but for the floor, which becomes 0.

    Args:
        floor: smallest mel power.
    """

    block = 1

    def __init__(self, floor: float) -> None:
        self._log_floor = math.log(floor)

    def initial_state(self, batch: int) -> State:
        """Return no state."""
        return ()

    def step(self, x: Array, state: State) -> tuple[Array, State]:
        """Return x, (batch, frames, bins), nats above the floor."""
        return x - self._log_floor, state
