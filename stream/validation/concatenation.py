"""Long recordings made of short ones, for what streams get worse at when they last.

Recordings follow each other without a pause, in their order, corpus by corpus, until there are so many seconds;
the transcripts are joined alike.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from stream.front_end.log_mel import SAMPLE_RATE
from stream.stage import Floats
from stream.validation.spoken import Spoken


@dataclass(frozen=True)
class Concatenation:
    """Some recordings as one; a `Spoken` itself."""

    parts: tuple[Spoken, ...]

    @property
    def id(self) -> str:
        """The first part's, and how many follow."""
        return self.parts[0].id + (f"+{len(self.parts) - 1}" if len(self.parts) > 1 else "")

    @property
    def text(self) -> str:
        """The texts of all parts."""
        return " ".join(part.text.strip() for part in self.parts if part.text.strip())

    @property
    def corpus(self) -> str | None:
        """The corpus of all parts."""
        return self.parts[0].corpus

    @property
    def duration(self) -> float:
        """Seconds of all parts."""
        return sum(map(_seconds, self.parts))

    def read(self) -> Floats:
        """Return the samples of all parts, (n,) float32 at 16 kHz."""
        return np.concatenate([part.read() for part in self.parts])


def concatenated(recordings: Sequence[Spoken], seconds: float) -> list[Concatenation]:
    """Return recordings of at least so many seconds; the last of each corpus may be shorter."""
    made: list[list[Spoken]] = []
    unfinished: dict[str | None, tuple[list[Spoken], float]] = {}
    for recording in recordings:
        parts, total = unfinished.get(recording.corpus, ([], 0.0))
        if not parts:
            made.append(parts)
        parts.append(recording)
        total += _seconds(recording)
        unfinished[recording.corpus] = ([], 0.0) if total >= seconds else (parts, total)
    return [Concatenation(tuple(parts)) for parts in made]


def _seconds(recording: Spoken) -> float:
    return recording.duration or len(recording.read()) / SAMPLE_RATE
