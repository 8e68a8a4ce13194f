"""Several channels to one: their mean, unless they cancel.

1. The mono signal is the mean of the channels.
2. Where a block's mean is more than 15 dB below its channels (two of them correlate by less than
   -0.94, which microphones do not: one is wired the wrong way round), the loudest channel of that
   block is taken instead, for the rest of the recording. Blocks before are not touched.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

__all__ = ["Mixer"]

LOST = 1 / 32  # of the power of the channels, 15 dB
SILENCE = 1e-10  # power of a block that says nothing about its channels, -100 dB


class Mixer:
    """Mixes the blocks of one recording.

    Args:
        channel: the one that is meant, from 0; None: all.

    Attributes:
        taken: the channel that stands for all, from 0; None: their mean does.
        cancelled: whether it does because of rule 2, and
        since: from which frame on.
    """

    def __init__(self, channel: int | None = None) -> None:
        self.taken = channel
        self.cancelled = False
        self.since = 0
        self._frames = 0

    def mix(self, block: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return a block as mono.

        Args:
            block: (frames, channels) float32.
        Returns:
            (frames,) float32.
        """
        self._frames += len(block)
        if block.shape[1] == 1:
            return np.ascontiguousarray(block[:, 0])
        if self.taken is None:
            mean: NDArray[np.float32] = block.mean(axis=1, dtype=np.float32)
            powers = np.mean(np.square(block, dtype=np.float64), axis=0)
            power = powers.mean()
            if (
                not SILENCE < power < np.inf
                or np.mean(np.square(mean, dtype=np.float64)) > LOST * power
            ):
                return mean
            self.taken, self.cancelled = int(powers.argmax()), True
            self.since = self._frames - len(block)
        return np.ascontiguousarray(block[:, self.taken])
