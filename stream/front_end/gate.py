"""Gate of the running statistics: only frames near speech update them.

An exponential mean learns whatever it is fed: after half a minute of a quiet room it holds the room for
the speaker, and the words that follow are read through wrong statistics (docs/normaliser.md has the
figures). So:

1. The level of a frame is its mean log-mel over the bins, in which a tone weighs little, smoothed over some
   four frames: l <- l + (mean - l) / 4. Noise flutters from frame to frame, syllables do not.
2. The background is the quietest recent level: it falls to any quieter frame at once, and rises by
   `rise` per second, which words outrun and a room does not.
3. A frame that is more than `margin` above the background is speech, or as loud as speech would be.
4. A frame teaches the statistics if it is speech, or at most `hold` after speech. So does the first `hold`
   of a stream: pauses are learned as training had them, minutes of them are not.

Causal, per row, the same lines on floats and on integers. The recursion that asks is `stream.front_end.normaliser`.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import msgspec
import numpy as np
from array_api_compat import array_namespace

from stream.stage import Array, State

FRAMES_PER_SECOND = 100
DECIBEL = math.log(10.0) / 10.0  # of power, in nats


class Gate(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """When a frame teaches the running statistics.

    Attributes:
        margin: dB above the background from which a frame is speech.
        rise: dB a second by which the background rises where nothing is quieter.
        hold: seconds after speech, and at the start of a stream, in which every frame counts.
    """

    margin: float = 12.0
    rise: float = 8.0
    hold: float = 1.0

    def __post_init__(self) -> None:
        for name, most in (("margin", 100.0), ("rise", 100.0), ("hold", 3600.0)):
            if not 0.0 < getattr(self, name) <= most:
                raise ValueError(
                    f"gate.{name} is {getattr(self, name)}, wants 0 < {name} <= {most:g}"
                )

    @property
    def frames(self) -> int:
        """`hold` in frames of 10 ms, one at least."""
        return max(round(self.hold * FRAMES_PER_SECOND), 1)

    def initial_state(self, batch: int, loudest: np.generic) -> State:
        """Return (level, background, frames left), each (batch,): nothing heard, the whole hold to go.

        Args:
            loudest: a level that no frame reaches, in the units and the dtype of the levels.
        """
        unheard = np.full(batch, loudest)
        return unheard, unheard.copy(), np.full(batch, self.frames, np.int32)


def open_frames(
    levels: Array,
    state: State,
    margin: float,
    rise: float,
    hold: int,
    quarter: Callable[[Array], Array],
) -> tuple[Array, State]:
    """Follow the background over some frames; return which of them count.

    Args:
        levels: (batch, frames), one frame at least, of any numeric dtype; margin and rise, a frame, are in its units.
        state: (level, background, frames left), each (batch,).
        hold: frames after speech that count.
        quarter: divides by four, in the arithmetic of the levels.
    Returns:
        (batch, frames) bool, and the state after the last frame.
    """
    xp = array_namespace(levels)
    level, background, left = state
    counts = []
    for frame in range(levels.shape[1]):
        level = level + quarter(levels[:, frame] - level)
        background = xp.minimum(background + rise, level)
        speech = level > background + margin
        left = xp.where(speech, xp.full_like(left, hold), xp.clip(left - 1, 0, None))
        counts.append(left > 0)
    return xp.stack(counts, axis=1), (level, background, left)
