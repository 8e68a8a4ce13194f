"""Levels: how loud each log-mel frame of a channel was, for the last seconds, of every slot.

The level of a frame is its largest bin, in nats of mel power: in speech the strongest formant, which
stands out from noise when the sum of all bins does not. Frames are counted from the start of the
stream, including muted chunks.
"""

from __future__ import annotations

import numpy as np

from stream.stage import Floats, Integers

# Frames of 10 ms before a chunk: the longest that a word waits (`stream.engine.alignment.HOLD`), and its sound.
KEPT = 794


class Levels:
    """A ring for each slot, allocated at start.

    Args:
        slots: of the engine.
        silence: level of a frame without sound.
        chunk: frames of a chunk.
    Attributes:
        count: (slots,) int64, frames of each stream so far.
        bytes_a_slot: memory that a slot takes.
    """

    def __init__(self, slots: int, silence: float, chunk: int) -> None:
        self._kept = KEPT + chunk
        self._ring = np.full((slots, self._kept), silence, np.float32)
        self.bytes_a_slot = self._ring.nbytes // slots
        self._silence = silence
        self.count = np.zeros(slots, np.int64)

    def begin(self, slot: int) -> None:
        """Begin a new stream in a slot."""
        self.count[slot] = 0

    def put(self, rows: Integers, levels: Floats) -> None:
        """Add the next frames, (R, n), of some slots, (R,)."""
        places = (self.count[rows, None] + np.arange(levels.shape[1])) % self._kept
        self._ring[rows[:, None], places] = levels
        self.count[rows] += levels.shape[1]

    def skip(self, rows: Integers, frames: int) -> None:
        """Add frames without sound to some slots."""
        self.put(rows, np.full((len(rows), frames), self._silence, np.float32))

    def recent(self, slot: int) -> tuple[int, Floats]:
        """Return the number of the first frame that is kept of a slot, and the levels from it on."""
        count, kept = int(self.count[slot]), self._kept
        if count <= kept:
            return 0, self._ring[slot, :count]
        ring, place = self._ring[slot], count % kept
        return count - kept, np.concatenate([ring[place:], ring[:place]])
