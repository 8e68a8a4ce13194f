"""Part: a time range and a channel of a recording."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Part:
    """What of a file is meant.

    Attributes:
        offset: seconds at which it begins.
        seconds: its length, or None: up to the end.
        channel: the one that is taken, from 0, or None: all of them, mixed.
    """

    offset: float = 0.0
    seconds: float | None = None
    channel: int | None = None


WHOLE = Part()
