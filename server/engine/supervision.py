"""Rules of supervision: when an engine counts as hung, how it is restarted, and when it no longer is.

Rules:

1. An engine has to answer each probe, to send a result for each chunk, and the last result of each
   finished stream. Its silence is the longest time for which a probe or a channel has been waiting
   without getting anything. Under overload results are late, but they keep coming: that is not silence.
2. Only time in which this process was running counts, at most `2 * look_seconds` between two looks.
   After the whole server was stopped, or had no CPU, the engine gets time to answer first.
3. Silent for `hang_seconds`: the engine is hung. No stream is accepted and health reports it, until it
   answers.
4. Silent for `KILLED` times as long: it is killed.
5. An engine that was killed, has ended, or cannot be loaded again is restarted after a pause, which
   doubles with each failure of the last `FORGET_SECONDS`, up to `LONGEST_PAUSE`.
6. After more than `restarts` such failures the server exits, so that its own supervisor notices.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from dataclasses import dataclass, fields
from typing import Any

KILLED = 3
FORGET_SECONDS = 300.0
LONGEST_PAUSE = 30.0


@dataclass(frozen=True, kw_only=True)
class Supervision:
    """Time limits of the supervision of engines.

    Attributes:
        hang_seconds: an engine that is silent for so long is hung.
        load_seconds: an engine that is not loaded after so long is killed.
        restarts: failures within `FORGET_SECONDS` after which it is still restarted.
        pause_seconds: before the first restart.
    """

    hang_seconds: float = 10.0
    load_seconds: float = 600.0
    restarts: int = 5
    pause_seconds: float = 0.5

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            if not (value > 0 or (field.name == "restarts" and value == 0)):
                raise ValueError(f"{field.name} is {value}; it has to be greater than 0")

    @property
    def look_seconds(self) -> float:
        """How often the event loop looks at an engine."""
        return min(self.hang_seconds / 10, 1.0)

    async def looks(self, until: asyncio.Future[Any]) -> AsyncIterator[float]:
        """Yield at regular times, with the seconds that count (rule 2), until something has happened."""
        loop = asyncio.get_running_loop()
        before = loop.time()
        while not until.done():
            await asyncio.wait([until], timeout=self.look_seconds)
            now = loop.time()
            yield min(now - before, 2 * self.look_seconds)
            before = now


class Restarts:
    """Rules 5 and 6."""

    def __init__(self, supervision: Supervision) -> None:
        self._supervision = supervision
        self._failures: deque[float] = deque()

    def pause(self, now: float) -> float | None:
        """Count a failure.

        Args:
            now: seconds of any clock that only goes forward.
        Returns:
            The seconds before the restart; None: there is none.
        """
        while self._failures and now - self._failures[0] > FORGET_SECONDS:
            self._failures.popleft()
        self._failures.append(now)
        if len(self._failures) > self._supervision.restarts:
            return None
        pause = self._supervision.pause_seconds * 2 ** (len(self._failures) - 1)
        return float(min(pause, LONGEST_PAUSE))
