"""Front end and normaliser of an engine's slots: samples to input frames, with a state for each slot.

A stream begins with `lead` samples that prime the front end and give no frame. Then each chunk gives its
log-mel frames, stacked as the encoder takes them; what is left at the end gives as many as it has.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from stream.engine.front_end import FrontEndKind, front_end_stages
from stream.engine.levels import Levels
from stream.front_end.log_mel import BINS, HOP
from stream.front_end.stacking import stack
from stream.model.network import Network
from stream.stage import Floats, Integers, State, bytes_of, take_rows, write_rows

BLOCK = 32  # channels whose spectra are computed together: those of more do not fit a core's cache


class ChannelFeatures:
    """The front ends and normalisers of an engine's slots.

    Args:
        front_end: the model's in float, or the same in fixed point.
        slots: of the engine.
    Attributes:
        lead: samples that `prime` takes.
        primed: (slots,) bool, whether a slot needs none of these any more.
        levels: of the log-mel frames.
        bytes_a_slot: memory that a slot takes.
    Raises:
        ModelError: the fixed front end cannot be this model's.
    """

    def __init__(self, network: Network, front_end: FrontEndKind, slots: int) -> None:
        self._front_end, self._normaliser = front_end_stages(network, front_end)
        self._encoder = network.specification.encoder
        self._frames = self._encoder.chunk_samples // HOP  # log-mel frames in a chunk
        self.lead = self._front_end.lead
        self.primed = np.zeros(slots, np.bool_)
        self._framed = np.zeros(slots, np.bool_)  # whether a slot's stream has given a frame
        self._fresh, (self._front, self._statistics) = self._initial(1), self._initial(slots)
        self._kept: dict[int, State] = {}  # statistics of slots that have ended
        silence = float(np.log(network.specification.floor))
        self.levels = Levels(slots, silence, self._frames)
        self.bytes_a_slot = bytes_of(self._fresh) + self.levels.bytes_a_slot

    def _initial(self, batch: int) -> tuple[State, State]:
        return self._front_end.initial_state(batch), self._normaliser.initial_state(batch)

    def begin(self, slot: int, *, keep_statistics: bool) -> None:
        """Begin a stream in a slot, with the running statistics as they are or fresh."""
        row, (front, statistics) = np.array([slot]), self._fresh
        self.primed[slot], self._framed[slot] = not self.lead, False
        write_rows(row, front, self._front)
        self.levels.begin(slot)
        kept = self._kept.pop(slot, None)
        if not keep_statistics:
            write_rows(row, statistics, self._statistics)
        elif kept is not None:
            write_rows(row, kept, self._statistics)

    def keep_statistics(self, slot: int) -> None:
        """Take note of a slot's statistics, which `begin` keeps in place of the later ones."""
        self._kept[slot] = take_rows(self._statistics, np.array([slot]))

    def follow(self, slot: int, source: int) -> None:
        """Give a slot the states of another one, whose stream has given a frame."""
        row, rows = np.array([slot]), np.array([source])
        for state in (self._front, self._statistics):
            write_rows(row, take_rows(state, rows), state)
        self.primed[slot] = self._framed[slot] = True

    def prime(self, samples: Floats, rows: Integers) -> None:
        """Take the first samples of some streams, (R, lead)."""
        write_rows(rows, self._front_end.prime(samples), self._front)
        self.primed[rows] = True

    def chunk(self, samples: Floats, rows: Integers) -> Floats:
        """Return the input frames of a chunk of some slots, (R, chunk): (R, n, inputs)."""
        frames = np.empty(
            (len(rows), self._frames, BINS), np.float32
        )  # holds integers of Q.10, too
        for begin in range(0, len(rows), BLOCK):
            block = slice(begin, begin + BLOCK)
            before = take_rows(self._front[:2], rows[block])
            frames[block], after = self._front_end.log_mel(samples[block], before)
            write_rows(rows[block], after, self._front[:2])
        gain = self._front[2:]
        frames, after = self._front_end.controlled(frames, take_rows(gain, rows))
        write_rows(rows, after, gain)
        self._framed[rows] = True
        self.levels.put(rows, self._front_end.unit * frames.max(axis=2))
        x: Floats = stack(self._normalised(frames, rows), self._encoder.stack)
        return x

    def skip(self, rows: Integers) -> None:
        """Skip a chunk of some muted slots: time advances, no state changes."""
        self.levels.skip(rows, self._frames)

    def tails(self, rests: Sequence[Floats], rows: Integers) -> tuple[Floats, Integers]:
        """Process what is left of streams that ended.

        Args:
            rests: samples of each: less than a chunk, or than the lead where that was not taken.
            rows: (E,) their slots.
        Returns:
            (E, n, inputs) input frames of a chunk, and how many of them count, (E,). Those past the end are
            zeros in the normalised domain.
        """
        frames = [self._last_frames(*each) for each in zip(rests, rows.tolist(), strict=True)]
        counts = np.array([len(each) for each in frames], np.int64)
        z = np.zeros((len(rows), self._frames, BINS), np.float32)
        for row in np.flatnonzero(counts).tolist():
            z[row, : counts[row]] = self._normalised(frames[row][None], rows[row : row + 1])[0]
        return stack(z, self._encoder.stack), -(-counts // self._encoder.stack)

    def _last_frames(self, rest: Floats, slot: int) -> Floats:
        """Compute the frames, (n, 80), of what is left of a stream: whole hops."""
        front_end, row, x = self._front_end, np.array([slot]), rest[None]
        state = take_rows(self._front, row)
        if not self.primed[slot]:
            return np.zeros((0, BINS), np.float32)  # too short for any frame
        if whole := x.shape[1] // HOP:
            frames, state = front_end.step(x[:, : whole * HOP], state)
        elif self._framed[slot] or not x.shape[1]:
            frames = np.zeros((1, 0, BINS), np.float32)
        else:
            frames = front_end.short_frame(x, state)
        write_rows(row, state, self._front)
        self.levels.put(row, self._front_end.unit * frames.max(axis=2))
        last: Floats = frames[0]
        return last

    def _normalised(self, frames: Floats, rows: Integers) -> Floats:
        z, after = self._normaliser.step(frames, take_rows(self._statistics, rows))
        write_rows(rows, after, self._statistics)
        normalised: Floats = z
        return normalised
