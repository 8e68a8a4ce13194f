"""Accounts: what each token has used, and whether its limits allow a stream now.

1. A stream, live or uploaded, takes a lease before anything is done for it, and gives it back at its end.
2. Audio is counted once a second, and at the end of a lease, so a limit of audio may be exceeded by what
   a stream gets in a second. At the limit the streams of the token are ended, with the rest of their
   text, and new ones are refused until the minute or the day (of UTC) is over.
3. What was used is kept in memory, per server process: N servers allow N times as much, and a restart
   begins at zero.
"""

from __future__ import annotations

import math
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace

from msgspec import structs

from server.limits import Limits
from server.refusals import Refusal
from server.tokens.file import Token

MINUTE, DAY = 60, 86_400
WITHDRAWN = "the token was withdrawn"


class Window:
    """Audio within the current minute or day.

    Args:
        length: of the window, seconds.
    """

    def __init__(self, length: int) -> None:
        self.length = length
        self._number = 0  # of the window, since 1970
        self._audio = 0.0

    def add(self, audio: float, now: float) -> None:
        """Count seconds of audio at a time (since 1970)."""
        self._audio = self.used(now) + audio
        self._number = int(now // self.length)

    def used(self, now: float) -> float:
        """Return the seconds of audio within the window of this time."""
        return self._audio if self._number == now // self.length else 0.0

    def rest(self, now: float) -> int:
        """Return the seconds until the next window begins."""
        return math.ceil(self.length - now % self.length)


class Lease:
    """One stream of a token; made by `Account.lease`."""

    def __init__(self, account: Account) -> None:
        self._account = account
        self._audio: Callable[[], float] = lambda: 0.0
        self._end: Callable[[Refusal], None] | None = None
        self._counted = 0.0

    def bind(self, audio: Callable[[], float], end: Callable[[Refusal], None]) -> None:
        """Connect the stream; it ends at once if its token has been withdrawn since the lease was taken.

        Args:
            audio: returns the seconds of audio so far.
            end: ends the stream and says why; called once at most.
        """
        self._audio, self._end = audio, end
        if self._account.token.disabled:
            self.end(_withdrawn())

    def end(self, refusal: Refusal) -> None:
        """End the stream, unless that was done before or it is not bound yet."""
        end, self._end = self._end, None
        if end is not None:
            self._account.refuse(refusal)
            end(refusal)

    def check_model(self, name: str) -> None:
        """Raise a `Refusal` where the token may not use a model."""
        models = self._account.token.models
        if models is not None and name not in models:
            account = self._account.name
            raise self._account.refuse(
                Refusal(403, f"the token {account!r} may not use the model {name!r}", "permission")
            )

    def narrowed(self, limits: Limits) -> Limits:
        """Return the limits of the server with those of the token."""
        seconds = self._account.token.stream_seconds
        if seconds is None or seconds >= limits.stream_seconds:
            return limits
        return replace(limits, stream_seconds=seconds)

    def new_audio(self) -> float:
        """Return the seconds of audio since the last call."""
        before, self._counted = self._counted, max(self._counted, self._audio())
        return self._counted - before


class Account:
    """A token, and what it has used since the server started.

    Args:
        name: of the token; "" for the streams of a server that needs none.
        token: its limits.
        clock: returns the time, seconds since 1970.

    Attributes:
        leases: its streams.
        streams: that began.
        audio_seconds: of all its streams.
        refused: streams that its limits refused or ended, by the reason.
    """

    def __init__(self, name: str, token: Token, clock: Callable[[], float] = time.time) -> None:
        self.name = name
        self.token = token
        self._clock = clock
        self.leases: set[Lease] = set()
        self.streams = 0
        self.audio_seconds = 0.0
        self.refused: Counter[str] = Counter()
        self._windows = {
            "audio_seconds_per_minute": Window(MINUTE),
            "audio_seconds_per_day": Window(DAY),
        }

    @contextmanager
    def lease(self, protocol: str) -> Iterator[Lease]:
        """Allow a stream, for as long as the context lasts.

        Args:
            protocol: that it speaks.
        Raises:
            Refusal: a limit of the token does not allow it.
        """
        if (refusal := self._refusal(protocol)) is not None:
            raise self.refuse(refusal)
        lease = Lease(self)
        self.leases.add(lease)
        self.streams += 1
        try:
            yield lease
        finally:
            self.leases.discard(lease)
            self._add(lease.new_audio())

    def count(self) -> None:
        """Count the audio of the open streams, and end these where a limit of audio is reached."""
        self._add(sum(lease.new_audio() for lease in self.leases))
        if (refusal := self._spent()) is not None:
            self._end(refusal)

    def withdraw(self) -> None:
        """End the open streams: the token was removed or disabled."""
        self.token = structs.replace(self.token, disabled=True)
        self._end(_withdrawn())

    def refuse(self, refusal: Refusal) -> Refusal:
        """Count a refusal and return it."""
        self.refused[refusal.reason] += 1
        return refusal

    def _end(self, refusal: Refusal) -> None:
        for lease in tuple(self.leases):
            lease.end(refusal)

    def _add(self, audio: float) -> None:
        now = self._clock()
        self.audio_seconds += audio
        for window in self._windows.values():
            window.add(audio, now)

    def _refusal(self, protocol: str) -> Refusal | None:
        token = self.token
        if token.protocols is not None and protocol not in token.protocols:
            text = f"the token {self.name!r} may not use the protocol {protocol!r}"
            return Refusal(403, text, "permission")
        if token.streams is not None and len(self.leases) >= token.streams:
            text = f"the token {self.name!r} has its {token.streams} streams open"
            return _exceeded(text, 1)
        return self._spent()

    def _spent(self) -> Refusal | None:
        """Return the refusal for the audio that was used, if it is too much."""
        now = self._clock()
        for key, window in self._windows.items():
            limit = getattr(self.token, key)
            if limit is not None and window.used(now) >= limit:
                unit = key.rpartition("_")[2]
                text = f"the token {self.name!r} has used its {limit:g} s of audio per {unit}"
                return _exceeded(text, window.rest(now))
        return None


def _withdrawn() -> Refusal:
    return Refusal(403, WITHDRAWN, "permission")


def _exceeded(text: str, seconds: int) -> Refusal:
    retry = {"Retry-After": str(seconds)}
    return Refusal(429, text, "quota", retry, code="rate_limit_exceeded")
