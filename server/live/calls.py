"""Calls and their watchers: the messages of a call, for any number of clients, while it lasts.

1. A call is known by the account (token) that opened it and by its id, so that no other account sees it.
   Two calls with one id are one to those who watch.
2. A watcher may come before the call, and waits. One that comes later gets the messages that were kept,
   at most `KEPT`, then all new ones.
3. A watcher that does not read is dropped when `BEHIND` messages wait for it. Nothing is kept of a call
   that is over.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncGenerator
from dataclasses import dataclass, field
from typing import TypeAlias

from server.adapters.telephony.call import Publish

KEPT = 1000
BEHIND = 2 * KEPT  # so that one who comes late has time to read what was kept
Key: TypeAlias = tuple[str, str]  # account and id


@dataclass
class _Call:
    sources: int = 0  # streams that speak in it
    kept: deque[str] = field(default_factory=lambda: deque(maxlen=KEPT))
    watchers: set[asyncio.Queue[str | None]] = field(default_factory=set)


class Calls:
    """The calls of a server process."""

    def __init__(self) -> None:
        self._calls: dict[Key, _Call] = {}

    def open(self, account: str, call_id: str) -> Publish:
        """Open a call; returns what takes its messages, and None at its end."""
        key = (account, call_id)
        call = self._calls.setdefault(key, _Call())
        call.sources += 1

        def publish(message: str | None, keep: bool = False) -> None:
            if message is None:
                call.sources -= 1
                if call.sources > 0:
                    return
                self._forget(key)
            elif keep:
                call.kept.append(message)
            for watcher in tuple(call.watchers):
                if watcher.qsize() >= BEHIND:
                    call.watchers.discard(watcher)
                    watcher.get_nowait()
                    watcher.put_nowait(None)
                else:
                    watcher.put_nowait(message)

        return publish

    async def watch(self, account: str, call_id: str) -> AsyncGenerator[str, None]:
        """Yield the messages of a call until it ends; waits for it to begin."""
        key = (account, call_id)
        call = self._calls.setdefault(key, _Call())
        arrived: asyncio.Queue[str | None] = asyncio.Queue()
        for kept in call.kept:
            arrived.put_nowait(kept)
        call.watchers.add(arrived)
        try:
            while (message := await arrived.get()) is not None:
                yield message
        finally:
            call.watchers.discard(arrived)
            if not call.sources:
                self._forget(key, call)

    def _forget(self, key: Key, call: _Call | None = None) -> None:
        if call is None or (self._calls.get(key) is call and not call.watchers):
            self._calls.pop(key, None)
