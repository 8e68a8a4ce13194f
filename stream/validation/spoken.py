"""Spoken: what validation wants of a recording, whichever data set it is from."""

from __future__ import annotations

from typing import Protocol

from stream.stage import Floats


class Spoken(Protocol):
    """A recording and what is said in it: `stream.manifest.Utterance`, or a record of a data set."""

    @property
    def id(self) -> str: ...
    @property
    def text(self) -> str: ...
    @property
    def corpus(self) -> str | None: ...
    @property
    def duration(self) -> float | None: ...
    def read(self) -> Floats:
        """Return its samples, (n,) float32 at 16 kHz."""
        ...
