"""Recordings through an engine, several at once: what validation and its scenarios run."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import TypeAlias

from stream.engine.engine import Engine, Result
from stream.front_end.log_mel import SAMPLE_RATE
from stream.stage import Floats

Progress: TypeAlias = Callable[[int, int], None]


class Streams:
    """Runs recordings in the free slots of an engine, each as a stream.

    Args:
        engine: whose slots that are open stay as they are.
        begin: brings an open slot to where a stream begins; called before each.
    Attributes:
        seconds: of processing so far.
        audio_seconds: of audio so far.
    """

    def __init__(self, engine: Engine, begin: Callable[[int], None]) -> None:
        self._engine, self._begin = engine, begin
        self.seconds = self.audio_seconds = 0.0

    def run(
        self,
        recordings: Sequence[Callable[[], Floats]],
        piece: int,
        progress: Progress | None = None,
    ) -> list[list[Result]]:
        """Return the results of each recording.

        Args:
            recordings: each returns its samples, (n,) at 16 kHz, when it is due.
            piece: samples handed in at once.
            progress: called with (recordings done, recordings).
        """
        engine = self._engine
        found: list[list[Result]] = [[] for _ in recordings]
        waiting = iter(range(len(recordings)))
        rest: dict[int, Floats] = {}  # slot -> audio not yet handed in
        of: dict[int, int] = {}  # slot -> recording
        done = 0

        def begin(slot: int) -> None:
            number = next(waiting, None)
            if number is None:
                engine.close(slot)
                return
            self._begin(slot)
            rest[slot] = recordings[number]()
            self.audio_seconds += len(rest[slot]) / SAMPLE_RATE
            of[slot] = number

        free = [slot for _ in range(engine.slots) if (slot := engine.open()) is not None]
        for slot in free:
            begin(slot)
        while of:
            for slot, audio in list(rest.items()):
                engine.push(slot, audio[:piece])
                rest[slot] = audio[piece:]
                if not len(rest[slot]):
                    del rest[slot]
                    engine.finish(slot)
            if engine.pending():  # one step: what an ending still has is stepped with the others
                began = time.perf_counter()
                results = engine.tick()
                self.seconds += time.perf_counter() - began
                for result in results:
                    found[of[result.slot]].append(result)
                    if result.last:
                        done += 1
                        if progress:
                            progress(done, len(recordings))
                        del of[result.slot]
                        begin(result.slot)
        return found
