"""Levels: how loud each log-mel frame of a channel was, for the last seconds, of every slot.

The level of a frame is its largest bin, in nats of mel power: in speech the strongest formant, which
stands out from noise when the sum of all bins does not. Frames are counted from the start of the
stream, including muted chunks.
"""

from __future__ import annotations

import numpy as np

from stream.stage import Floats, Integers

KEPT = 800  # frames of 10 ms: the longest that a word waits (`stream.engine.alignment.HOLD`) and its sound


class Levels:
    """A ring for each slot, allocated at start.

    Args:
        slots: of the engine.
        silence: level of a frame without sound.
    Attributes:
        count: (slots,) int64, frames of each stream so far.
    """

    bytes_a_slot = KEPT * np.dtype(np.float32).itemsize

    def __init__(self, slots: int, silence: float) -> None:
        self._ring = np.full((slots, KEPT), silence, np.float32)
        self._silence = silence
        self.count = np.zeros(slots, np.int64)

    def begin(self, slot: int) -> None:
        """Begin a new stream in a slot."""
        self.count[slot] = 0

    def put(self, rows: Integers, levels: Floats) -> None:
        """Add the next frames, (R, n), of some slots, (R,)."""
        places = (self.count[rows, None] + np.arange(levels.shape[1])) % KEPT
        self._ring[rows[:, None], places] = levels
        self.count[rows] += levels.shape[1]

    def skip(self, rows: Integers, frames: int) -> None:
        """Add frames without sound to some slots."""
        self.put(rows, np.full((len(rows), frames), self._silence, np.float32))

    def recent(self, slot: int) -> tuple[int, Floats]:
        """Return the number of the first frame that is kept of a slot, and the levels from it on."""
        count = int(self.count[slot])
        if count <= KEPT:
            return 0, self._ring[slot, :count]
        ring, place = self._ring[slot], count % KEPT
        return count - KEPT, np.concatenate([ring[place:], ring[:place]])
