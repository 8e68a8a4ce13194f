"""Supervision of an engine: when it counts as hung, how it is restarted, and when no more. No process here.

Rules:

1. An engine owes an answer to each probe, a result to each chunk, and the last one to each stream that has
   ended. Its silence is the longest time for which the event loop, or one of the channels, was owed
   something and got nothing. Under overload results are late, but they keep coming: that is no
   silence.
2. Only time in which this process could look counts, `2 * look_seconds` between two looks at most. After
   the whole server was stopped, its machine slept or had no CPU for it, the engine has its chance first.
3. Silent for `hang_seconds`: the engine is hung. No stream is taken and health says so, until it answers.
4. Silent for `KILLED` times as long: it is killed.
5. An engine that was killed, has ended, or cannot be loaded again is restarted after a pause, which
   doubles with each failure of the last `FORGET_SECONDS`, up to `LONGEST_PAUSE`.
6. More than `restarts` such failures: the server ends, so that what started it sees that.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from dataclasses import dataclass, fields
from typing import Any

__all__ = ["FORGET_SECONDS", "KILLED", "Restarts", "Supervision"]

KILLED = 3
FORGET_SECONDS = 300.0
LONGEST_PAUSE = 30.0


@dataclass(frozen=True, kw_only=True)
class Supervision:
    """How patient the server is with its engines.

    Attributes:
        hang_seconds: an engine that answers nothing for so long is hung.
        load_seconds: one that is not loaded after so long is killed.
        restarts: failures within `FORGET_SECONDS` after which it is restarted.
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
        """Look now and then until something has happened; yields the seconds that count (rule 2)."""
        loop = asyncio.get_running_loop()
        before = loop.time()
        while not until.done():
            await asyncio.wait([until], timeout=self.look_seconds)
            now = loop.time()
            yield min(now - before, 2 * self.look_seconds)
            before = now


class Restarts:
    """Rules 5 and 6.

    Args:
        supervision: how many failures are borne.
    """

    def __init__(self, supervision: Supervision) -> None:
        self._supervision = supervision
        self._failures: deque[float] = deque()

    def pause(self, now: float) -> float | None:
        """Take note of a failure.

        Args:
            now: seconds of any clock that only goes forward.
        Returns:
            the seconds before the restart; None: there is none any more.
        """
        while self._failures and now - self._failures[0] > FORGET_SECONDS:
            self._failures.popleft()
        self._failures.append(now)
        if len(self._failures) > self._supervision.restarts:
            return None
        pause = self._supervision.pause_seconds * 2 ** (len(self._failures) - 1)
        return float(min(pause, LONGEST_PAUSE))
