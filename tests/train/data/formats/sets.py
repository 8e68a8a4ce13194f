"""Small data sets for the tests of formats: recordings of a tenth of a second, each of another level."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import soundfile

from stream.audio import Part
from train.data.records.record import File, Record

__all__ = ["RATE", "recording", "records"]

RATE = 16_000


def recording(path: Path, *levels: float, seconds: float = 0.3) -> Path:
    """Write a recording with a channel for each level, constant in each third of its length."""
    path.parent.mkdir(parents=True, exist_ok=True)
    thirds = np.repeat([1.0, 0.5, 0.25], round(seconds * RATE / 3))
    soundfile.write(path, np.stack([level * thirds for level in levels], 1), RATE)
    return path


def records(folder: Path) -> list[Record]:
    """Write three recordings; return a whole one, a part of one, and a channel of one."""
    whole = File(str(recording(folder / "s1" / "a.wav", 0.5)))
    part = File(str(recording(folder / "s2" / "b.flac", 0.25)))
    channel = File(str(recording(folder / "c.wav", 0.5, 0.125)))
    return [
        Record(id="s1/a", audio=whole, text="one two", duration=0.3, speaker="s1", language="en"),
        Record(
            id="s2/b", audio=part, text="trois é", duration=0.1, part=Part(0.1, 0.1), speaker="s2"
        ),
        Record(id="c", audio=channel, text="", duration=0.3, part=Part(channel=1), extra={"n": 1}),
    ]
