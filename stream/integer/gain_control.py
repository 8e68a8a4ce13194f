"""Level of a channel in fixed point: `stream.front_end.gain_control` on log2-mel frames in Q.10, bit for bit.

Rules 10.17 to 10.20 of docs/integer-front-end.md, between `stream.integer.log_mel` and
`stream.integer.normaliser`. State: (background, peak), each (batch,) int32 in Q.20.
"""

from __future__ import annotations

import numpy as np

from stream.front_end.gain_control import GainControl, follow
from stream.front_end.gate import FRAMES_PER_SECOND
from stream.front_end.log_mel import BINS
from stream.integer.fixed import rhe
from stream.integer.log_mel import FRACTION, LOUDEST, QUIETEST, decibels, log2_of
from stream.stage import Array, State

STATE = 20  # fraction bits of background, peak and gain


class FixedGain:
    """`Gain` over log2-mel frames, (batch, frames, 80) whole numbers in Q.10.

    Args:
        floor: smallest mel power of the frames that come out.
    Raises:
        ValueError: the floor less the gain is below what the format holds.
    """

    block = 1

    def __init__(self, control: GainControl, floor: float) -> None:
        if control.lowest(floor) < 2.0**QUIETEST:
            raise ValueError(
                f"fixed gain control: a floor of {floor:g} and a gain of {control.gain:g} dB reach below "
                f"2^{QUIETEST}"
            )
        self.control = control
        self._floor, self._lowest = log2_of(floor), log2_of(control.lowest(floor))
        rise, attack, release = (
            decibels(speed / FRAMES_PER_SECOND, STATE)
            for speed in (control.rise, control.attack, control.release)
        )
        self._speeds = rise, attack, release

    def initial_state(self, batch: int) -> State:
        """Return the state before the first frame: nothing loud, nothing quiet was heard."""
        loudest, lowest = LOUDEST << STATE, self._lowest << (STATE - FRACTION)
        return np.full(batch, loudest, np.int32), np.full(batch, lowest, np.int32)

    def step(self, x: Array, state: State) -> tuple[Array, State]:
        """Lift the frames of x, int32, and floor them."""
        if x.shape[1] == 0:
            return x, state
        tones, gain, after = self.gains(x, state)
        return self.lifted(x, tones, gain), after

    def gains(self, x: Array, state: State) -> tuple[Array, Array, State]:
        """Return which frames of x are tones, and the gain of each, Q.20: (batch, frames); and the state after them."""
        control, frames = self.control, x.astype(np.int64)
        peaks = frames.max(axis=2)
        floored = np.maximum(frames, self._floor)
        crest = BINS * floored.max(axis=2) - floored.sum(axis=2)
        tones = crest > BINS * decibels(control.tone, FRACTION)  # rule 10.17
        background, peak, after = follow(  # rule 10.18
            peaks << (STATE - FRACTION),
            tones,
            peaks <= self._lowest,
            tuple(leaf.astype(np.int64) for leaf in state),
            self._speeds,
            (self._lowest << (STATE - FRACTION), LOUDEST << STATE),
        )
        most = decibels(control.gain, STATE)
        room = decibels(control.background, STATE) - background
        gain = np.clip(np.minimum(room, decibels(control.speech, STATE) - peak), 0, most)
        return tones, gain, tuple(leaf.astype(np.int32) for leaf in after)

    def lifted(self, x: Array, tones: Array, gain: Array) -> Array:
        """Lift the frames of x by their gains (rule 10.19)."""
        lifted = x.astype(np.int64) + rhe(gain, STATE - FRACTION)[:, :, None]
        y: Array = np.where(tones[:, :, None], self._floor, np.maximum(lifted, self._floor))
        return y.astype(np.int32)
