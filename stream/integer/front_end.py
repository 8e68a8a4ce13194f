"""The front end in fixed point as one stage: 16-bit samples to log2-mel frames, with gain control where asked for.

Joins `stream.integer.log_mel` and `stream.integer.gain_control` as `stream.front_end.log_mel.FrontEnd` joins the
float ones.
"""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass

from stream.front_end.log_mel import FrontEnd
from stream.integer.gain_control import FixedGain
from stream.integer.log_mel import FRACTION, FixedLogMel, FixedPreEmphasis, samples_of
from stream.stage import Array, Stage, State


@dataclass(frozen=True)
class FixedFrontEnd(FrontEnd):
    """`FrontEnd` in fixed point: its framing, priming and padding, on integers.

    Samples are int16, or floats of full scale 1; frames are log2 mel power in Q.10, int32. The state
    is (previous sample int16, window tail int32), and the gain control's, int32, where there is one.

    Raises:
        ValueError: the floor is out of range.
    """

    unit = math.log(2.0) / (1 << FRACTION)

    def __post_init__(self) -> None:
        _ = self._stages

    @functools.cached_property
    def _stages(self) -> tuple[Stage, ...]:
        if self.gain_control is None:
            return FixedPreEmphasis(), FixedLogMel(self.window, self.floor)
        log_mel = FixedLogMel(self.window, self.gain_control.lowest(self.floor))
        return FixedPreEmphasis(), log_mel, FixedGain(self.gain_control, self.floor)

    def prime(self, x: Array) -> State:
        """Return the state after the first `lead` samples of a stream, x (batch, lead)."""
        return super().prime(samples_of(x))

    def log_mel(self, x: Array, state: State) -> tuple[Array, State]:
        """Compute one frame, (batch, n, 80) int32, for each 160 samples of x, (batch, 160 n)."""
        return super().log_mel(samples_of(x), state)

    def short_frame(self, x: Array, state: State) -> Array:
        """Compute the one frame of a stream that ended before its first hop did."""
        return super().short_frame(samples_of(x), state)
