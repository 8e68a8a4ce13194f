"""Several channels to one: their mean, unless they cancel.

1. The mono signal is the mean of the channels.
2. Where the mean of a block is more than 15 dB below its channels (two of them correlate by less than
   -0.94, which microphones do not: one is wired the wrong way round), the loudest channel of that
   block is taken instead, for the rest of the recording. Blocks before are not touched.
3. Blocks of less than `JUDGED_FRAMES` say too little; they are judged together.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from stream.stage import Floats

LOST = 1 / 32  # of the power of the channels, 15 dB
JUDGED_FRAMES = 800  # 50 ms at 16 kHz
SILENCE = 1e-10  # power of a block that says nothing about its channels, -100 dB


class Mixer:
    """Mixes the blocks of one recording.

    Args:
        channel: the one that is meant, from 0; None: all.

    Attributes:
        taken: the channel that replaces all, from 0; None: their mean is taken.
        cancelled: whether it does because of rule 2, and
        since: from which frame on.
    """

    def __init__(self, channel: int | None = None) -> None:
        self.taken = channel
        self.cancelled = False
        self.since = 0
        self._frames = 0
        self._judged = 0  # frames before those that are summed up in
        self._sums: NDArray[np.float64] | None = None  # of squares: the mean's, each channel's

    def mix(self, block: Floats) -> Floats:
        """Return a block as mono.

        Args:
            block: (frames, channels) float32.
        Returns:
            (frames,) float32.
        """
        first, self._frames = self._frames, self._frames + len(block)
        if block.shape[1] == 1:
            return np.ascontiguousarray(block[:, 0])
        if self.taken is None:
            mean: Floats = block.mean(axis=1, dtype=np.float32)
            self._judge(np.column_stack([mean, block]))
            if self.taken is None:
                return mean
            self.since = first
        return np.ascontiguousarray(block[:, self.taken])

    def _judge(self, signals: Floats) -> None:
        """Sum up the mean and the channels, (frames, 1 + channels), and decide by rules 2 and 3."""
        with np.errstate(
            over="ignore", invalid="ignore"
        ):  # samples that are no audio are named later
            sums = np.square(signals, dtype=np.float64).sum(axis=0)
        self._sums = sums if self._sums is None else self._sums + sums
        frames = self._frames - self._judged
        if frames < JUDGED_FRAMES:
            return
        mixed, *channels = self._sums / frames
        power = float(np.mean(channels))
        if SILENCE < power < np.inf and mixed < LOST * power:
            self.taken, self.cancelled = int(np.argmax(channels)), True
        self._sums, self._judged = None, self._frames
