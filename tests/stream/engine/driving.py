"""Streams through an engine, side by side, for tests that look at its results."""

from __future__ import annotations

from collections.abc import Mapping

from stream.engine.engine import Engine, Result
from stream.stage import Samples

__all__ = ["streamed"]


def streamed(engine: Engine, audio: Mapping[int, Samples], chunk: int = 4000) -> list[list[Result]]:
    """Stream recordings into open slots, `chunk` samples at a time; returns the results of each."""
    found: dict[int, list[Result]] = {slot: [] for slot in audio}

    def tick() -> None:
        while engine.pending():
            for result in engine.tick():
                found[result.slot].append(result)

    for begin in range(0, max(map(len, audio.values())), chunk):
        for slot, samples in audio.items():
            engine.push(slot, samples[begin : begin + chunk])
        tick()
    for slot in audio:
        engine.finish(slot)
    tick()
    return list(found.values())
