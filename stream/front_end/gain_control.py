"""Gain control of log-mel frames: quiet channels are lifted to the level of training, tones are removed.

A gain is a sum in the logarithm, so it is applied to log-mel frames, before the floor cuts what is quiet:
the front end in front of this stage has a floor that lies lower by the largest gain, and this one applies
the model's. How much a frame is lifted follows from what came before, and from itself:

1. A frame whose strongest mel bin is more than `tone` above its mean bin is a tone and not speech: it
   becomes silence (all bins at the floor), and rules 2 and 3 do not hear it.
2. The background is the lowest recent value of the strongest bin: it falls at once, and rises by `rise` per second.
   Digital silence, which is all at the lowest floor, is no background.
3. The peak is the highest recent value of the strongest bin: it rises by `attack` per second at most, so that words
   lift it and clicks do not, and falls by `release` per second.
4. The gain is what lifts the background to `background`, but neither the peak nor the frame itself above
   `speech`, 0 to `gain` dB.

So the background before the first word tells how quiet a channel is, noise is never lifted above
`background`, and a loud frame removes the gain, starting with itself; speech as loud as the training data
passes unchanged. Strongest bins are maxima, which every machine computes alike.

`Gain` over floats is here, in integers it is `stream.integer.gain_control`.
"""

from __future__ import annotations

import math

import msgspec
import numpy as np
from array_api_compat import array_namespace

from stream.front_end.gate import DECIBEL, FRAMES_PER_SECOND
from stream.stage import Array, State, constant_like

LOUDEST = 16.0 * math.log(2.0)  # log mel power that no frame of full scale reaches


class GainControl(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """How frames are brought to level. All dB are of mel power; a level is that of a frame's strongest bin.

    Attributes:
        gain: the largest, dB.
        background: loudest background to which one is lifted, dB.
        speech: peak above which nothing is lifted, dB.
        rise: dB a second by which the background follows upwards.
        attack, release: dB a second by which the peak rises at most, and falls.
        tone: dB of a frame's strongest bin above its mean bin from which it is a tone.
    """

    gain: float = 48.0
    background: float = -67.0
    speech: float = -12.0
    rise: float = 4.0
    attack: float = 300.0
    release: float = 4.0
    tone: float = 48.0

    def __post_init__(self) -> None:
        for name in ("gain", "rise", "attack", "release", "tone"):
            most = 10_000.0 if name == "attack" else 100.0
            if not 0.0 < getattr(self, name) <= most:
                raise ValueError(
                    f"gain_control.{name} is {getattr(self, name)}, wants 0 < {name} <= {most:g} dB"
                )
        if not -200.0 <= self.background < self.speech <= 40.0:
            raise ValueError(
                f"gain_control: background is {self.background} and speech {self.speech}, wants "
                "-200 <= background < speech <= 40 dB"
            )

    def lowest(self, floor: float) -> float:
        """Return the floor of mel power that the front end before this stage has."""
        return floor * math.pow(10.0, -self.gain / 10.0)


def follow(
    peaks: Array,
    tones: Array,
    quiet: Array,
    state: State,
    speeds: tuple[float, float, float],
    bounds: tuple[float, float],
) -> tuple[Array, Array, State]:
    """Follow background and peak over some frames (rules 2 and 3), on floats or on integers.

    Args:
        peaks: (batch, frames) strongest bins, one frame at least.
        tones, quiet: (batch, frames) bool, frames that are tones, and digital silence.
        state: (background, peak), each (batch,).
        speeds: rise, attack and release, a frame, in the units of peaks.
        bounds: the least and the most that a peak can be.
    Returns:
        background, and peak or the frame's own where that is more, (batch, frames) each, and the state
        after the last frame.
    """
    xp = array_namespace(peaks)
    background, peak = state
    rise, attack, release = speeds
    least, most = (xp.full_like(peaks, bound) for bound in bounds)
    low, high = xp.where(tones | quiet, most, peaks), xp.where(tones, least, peaks)
    backgrounds, highest = [], []
    for frame in range(peaks.shape[1]):
        background = xp.minimum(background + rise, low[:, frame])
        peak = xp.maximum(peak - release, xp.minimum(peak + attack, high[:, frame]))
        backgrounds.append(background)
        highest.append(xp.maximum(peak, high[:, frame]))
    return xp.stack(backgrounds, axis=1), xp.stack(highest, axis=1), (background, peak)


class Gain:
    """`GainControl` over log-mel frames, (batch, frames, bins) float, natural log, floored at `GainControl.lowest`.

    State: (background, peak), each (batch,).

    Args:
        floor: smallest mel power of the frames that come out.
    """

    block = 1

    def __init__(self, control: GainControl, floor: float) -> None:
        self.control, self.floor = control, floor
        # As the front end computes them, so that a frame without gain keeps every bit.
        self._floor, self._lowest = (
            float(np.log(np.array([power], np.float32))[0])
            for power in (floor, control.lowest(floor))
        )

    def initial_state(self, batch: int) -> State:
        """Return the state before the first frame: nothing loud, nothing quiet was heard."""
        return np.full(batch, LOUDEST, np.float32), np.full(batch, self._lowest, np.float32)

    def step(self, x: Array, state: State) -> tuple[Array, State]:
        """Lift the frames of x and floor them."""
        if x.shape[1] == 0:
            return x, state
        xp = array_namespace(x)
        control, a_frame = self.control, DECIBEL / FRAMES_PER_SECOND
        floor, zero = (constant_like(np.array(value), x) for value in (self._floor, 0.0))
        floored = xp.maximum(x, floor)
        peaks = xp.max(x, axis=2)
        tones = xp.maximum(peaks, floor) - xp.mean(floored, axis=2) > control.tone * DECIBEL
        background, peak, state = follow(
            peaks,
            tones,
            peaks <= self._lowest,
            state,
            (control.rise * a_frame, control.attack * a_frame, control.release * a_frame),
            (self._lowest, LOUDEST),
        )
        gain = xp.minimum(
            control.background * DECIBEL - background, control.speech * DECIBEL - peak
        )
        y = floored
        if xp.any(gain > 0.0):  # of most batches none is
            most = constant_like(np.array(control.gain * DECIBEL), x)
            gain = xp.minimum(xp.maximum(gain, zero), most)
            y = xp.maximum(x + gain[:, :, None], floor)
        if xp.any(tones):
            y = xp.where(tones[:, :, None], floor, y)
        return y, state
