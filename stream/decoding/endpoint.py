"""Endpointing: where a segment of a stream ends, by silence, by length, by the `<EOS>` token.

It is decided at the end of each chunk, from the steps of tokens alone, and changes no state of encoder or
decoder; a beam commits its best hypothesis (`stream.decoding.beam`). The next segment begins with the chunk after
an endpoint. Time is counted in encoder frames, of which a chunk may have several: silence begins at the frame of
the last token, and a pause with speech behind it in the same chunk ends nothing. Rules:

1. Trailing silence: the segment has a token, and none since for more than `silence` seconds.
2. Nothing said: the segment has no token after `quiet` seconds.
3. The segment is `length` seconds long.
4. A token of this chunk is `<EOS>`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from stream.encoders.family import Encoder
from stream.errors import ArgumentError
from stream.stage import Integers, Mask

LEAST_SECONDS = 0.06  # of a rule: what servers promise, whatever the model's frames are
NEVER = np.iinfo(np.int64).max // 2


@dataclass(frozen=True)
class EndpointConfig:
    """When a segment ends; seconds, None for a rule that is off.

    Attributes:
        silence: after the last token, rule 1.
        quiet: without any token, rule 2.
        length: rule 3.
        eos: id of the `<EOS>` token, rule 4.
    Raises:
        ArgumentError: a time is shorter than 0.06 s.
    """

    silence: float | None = 1.2
    quiet: float | None = None
    length: float | None = 20.0
    eos: int | None = None

    def __post_init__(self) -> None:
        for name in ("silence", "quiet", "length"):
            value = getattr(self, name)
            if value is not None and not LEAST_SECONDS <= value < np.inf:
                raise ArgumentError(
                    f"endpoint: {name} is {value} s, wants {LEAST_SECONDS} or more, or None for off"
                )


class EndpointState(NamedTuple):
    """State of a batch of rows.

    Attributes:
        steps: (B,) int64, encoder frames of the segment so far.
        since: (B,) int64, encoder frames since the segment's last token; NEVER where none came.
    """

    steps: Integers
    since: Integers


class Endpointer:
    """The rules, over the rows of a batch.

    Args:
        config: the rules.
        encoder: whose frames are counted, a chunk of them a step.
    """

    def __init__(self, config: EndpointConfig, encoder: Encoder) -> None:
        self.config = config
        self._seconds, self._frames = encoder.frame_seconds, encoder.chunk_frames
        self._silence, self._quiet, self._length = (
            NEVER if seconds is None else round(seconds / self._seconds)
            for seconds in (config.silence, config.quiet, config.length)
        )

    def initial_state(self, batch: int) -> EndpointState:
        """Return the state at the start of a segment."""
        return EndpointState(np.zeros(batch, np.int64), np.full(batch, NEVER))

    def steps(self, silence: float | None) -> int:
        """Return the steps of a silence, seconds, for `step`; those of rule 1 where it is None."""
        return self._silence if silence is None else max(1, round(silence / self._seconds))

    def step(
        self, after: Integers, eos: Mask, state: EndpointState, silence: Integers | None = None
    ) -> tuple[Mask, EndpointState]:
        """Decide at the end of a chunk.

        Args:
            after: (B,) encoder frames of the chunk after its last token; NEVER: it has none.
            eos: (B,) whether `<EOS>` is among its tokens.
            state: before the chunk.
            silence: (B,) encoder frames, rows with a rule 1 of their own; None: all have the configured one.
        Returns:
            (B,) whether the segment ends with this chunk, and the state after it.
        """
        steps = state.steps + self._frames
        since = np.minimum(after, np.minimum(state.since + self._frames, NEVER))
        silent = (since != NEVER) & (since > (self._silence if silence is None else silence))
        quiet = (since == NEVER) & (steps >= self._quiet)
        ends = silent | quiet | (steps >= self._length)
        if self.config.eos is not None:
            ends |= eos
        return ends, EndpointState(np.where(ends, 0, steps), np.where(ends, NEVER, since))
