"""Connections that play recordings, and the loop that paces all of them.

1. Message k of a stream, from 1, leaves 60 ms * k after the stream's start, as of a microphone; a stream
   starts a random part of 60 ms after its connection is open. The message that ends a stream leaves
   with the last chunk.
2. One loop sends for all streams: it wakes at most every millisecond and sends whatever is due, which
   costs a fraction of one timer per stream. How late chunks leave is recorded, and latencies count
   from when they left.
3. A chunk is one message, or several where the server's are longer than 60 ms. Its latency begins with the last
   one of them and ends when its response is read from the socket.

Needs picows, the websocket library with the lowest CPU per message (docs/load.md).
"""

from __future__ import annotations

import asyncio
import heapq
import itertools
import random
import time
from array import array
from collections.abc import Sequence
from dataclasses import dataclass, field

from picows import (
    WSCloseCode,
    WSError,
    WSFrame,
    WSHandshakeError,
    WSListener,
    WSMsgType,
    WSTransport,
    ws_connect,
)

from server.adapters.myrtle_messages import CHUNK, CHUNK_SECONDS
from server.load.arrivals import final_text
from server.load.dialects import Dialect, DialectError, Responses
from stream.errors import InputError

CONNECT_SECONDS = 10.0
SILENT_SECONDS = 60.0  # without a message, at the end of a stream that has the server to itself
WAKE_SECONDS = 0.001
PROBE_SECONDS = 0.5
PROBE_MESSAGES = 40


class LoadError(InputError):
    """No server answers, or it does not speak the dialect."""


class Refused(Exception):
    """The server refuses another stream (HTTP 503); the message is its reason."""


@dataclass
class Timings:
    """The measurements of all streams of a run, in the order of the responses; seconds.

    Attributes:
        sent: when each answered chunk left.
        latency: of the same chunks.
        late: how long after its time each chunk left, answered or not; `late_at`: when.
    """

    sent: array[float] = field(default_factory=lambda: array("d"))
    latency: array[float] = field(default_factory=lambda: array("d"))
    late: array[float] = field(default_factory=lambda: array("d"))
    late_at: array[float] = field(default_factory=lambda: array("d"))


class Player(WSListener):
    """One recording on one connection.

    Args:
        dialect: of the server.
        messages: of the recording.
        timings: where latencies are noted.
        ahead: messages after a chunk without which it cannot be answered (`messages_ahead`).
    Attributes:
        responses: what came.
        sent: when each whole message left, seconds of `time.perf_counter`.
        start: of the stream, on the same clock.
        ended: done when the connection is over; the result is what went wrong, or None.
    """

    def __init__(
        self, dialect: Dialect, messages: Sequence[bytes], timings: Timings, ahead: int
    ) -> None:
        self.responses: Responses = dialect.responses()
        self.sent: list[float] = []
        self.start = 0.0
        self.ended: asyncio.Future[str | None] = asyncio.get_running_loop().create_future()
        self._dialect = dialect
        self._messages = messages
        self._timings = timings
        self._ahead = ahead
        self._place = 0  # of the next message
        self._transport: WSTransport | None = None
        self._fragments = b""

    @property
    def unanswered(self) -> list[float]:
        """When each chunk was sent, with its last message, that could have been answered and was not."""
        chunk = self.responses.chunk
        return self.sent[self.responses.answered + self._ahead + chunk - 1 :: chunk]

    @property
    def text(self) -> str:
        """All final text so far."""
        return final_text(self.responses.said)

    def send_next(self) -> bool:
        """Send the next message, and the end with the last one; returns whether more follow."""
        transport = self._transport
        if transport is None or self.ended.done():
            return False
        if self._place < len(self._messages):
            message = self._messages[self._place]
            self._place += 1
            if len(message) == self._dialect.chunk_bytes:
                self.sent.append(time.perf_counter())
            transport.send(WSMsgType.BINARY, message)
        if self._place < len(self._messages):
            return True
        kind = WSMsgType.TEXT if self._dialect.end_is_text else WSMsgType.BINARY
        transport.send(kind, self._dialect.end)
        return False

    def send(self, message: bytes) -> None:
        """Send audio out of turn."""
        if self._transport is not None:
            self._transport.send(WSMsgType.BINARY, message)

    def abort(self) -> None:
        """Cut the connection."""
        if self._transport is not None:
            self._transport.disconnect(graceful=False)
        self._end("cut off")

    def on_ws_connected(self, transport: WSTransport) -> None:
        self._transport = transport

    def pause_writing(self) -> None:
        """Continue to write: what the server does not read waits here, as in a client's kernel."""

    def resume_writing(self) -> None:
        """See `pause_writing`; picows' own two log a warning each time."""

    def on_ws_disconnected(self, transport: WSTransport) -> None:
        self._end("the server cut the connection")

    def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:
        now = time.perf_counter()
        if frame.msg_type == WSMsgType.CLOSE:
            code, reason = frame.get_close_code(), frame.get_close_reason() or ""
            transport.send_close(WSCloseCode.OK)
            transport.disconnect()
            self.responses.close(now)
            well = code in (WSCloseCode.OK, WSCloseCode.NO_INFO)
            self._end(None if well else f"the server ended the stream: {code} {reason}".strip())
            return
        if frame.msg_type not in (WSMsgType.TEXT, WSMsgType.CONTINUATION):
            return
        message = frame.get_payload_as_bytes()
        if not frame.fin or self._fragments:
            self._fragments += message
            if not frame.fin:
                return
            message, self._fragments = self._fragments, b""
        try:
            answers = self.responses.receive(message, now)
        except DialectError as error:
            transport.disconnect()
            self._end(str(error))
            return
        if answers:
            place = self.responses.answered - 1 + self._ahead
            if place < len(self.sent):
                self._timings.sent.append(self.sent[place])
                self._timings.latency.append(now - self.sent[place])
        if self.responses.ended:
            transport.send_close(WSCloseCode.OK)
            transport.disconnect()
            self._end(None)

    def _end(self, failure: str | None) -> None:
        if not self.ended.done():
            self.ended.set_result(failure)


async def open_player(
    url: str, dialect: Dialect, messages: Sequence[bytes], timings: Timings, ahead: int = 0
) -> Player:
    """Connect a player; nothing is sent yet.

    Raises:
        Refused: HTTP 503.
        LoadError: no server answers there, or it answers something else.
    """
    player = Player(dialect, messages, timings, ahead)
    try:
        async with asyncio.timeout(CONNECT_SECONDS):
            await ws_connect(lambda: player, dialect.target(url), websocket_handshake_timeout=None)
    except WSHandshakeError as error:
        status = None if error.response is None else int(error.response.status)
        said = (error.raw_body or b"").decode(errors="replace").strip()
        if status == 503:
            raise Refused(said or "no reason given") from error
        raise LoadError(f"{url}: refused with HTTP {status}: {said or error}") from error
    except (OSError, WSError, TimeoutError, ValueError) as error:  # ValueError: a port of 99999
        raise LoadError(f"{url}: no server answers ({error or 'timed out'})") from error
    return player


class Pacer:
    """The loop of rule 2.

    Args:
        timings: where lateness is noted.
        phases: of streams.
    """

    def __init__(self, timings: Timings, phases: random.Random) -> None:
        self._timings = timings
        self._phases = phases
        self._due: list[tuple[float, int, Player]] = []
        self._number = itertools.count()  # so that no two entries of the heap are alike

    def add(self, player: Player) -> None:
        """Start a stream, a random part of 60 ms from now (rule 1)."""
        player.start = time.perf_counter() + self._phases.random() * CHUNK_SECONDS
        heapq.heappush(self._due, (player.start + CHUNK_SECONDS, next(self._number), player))

    async def run(self) -> None:
        """Send until cancelled."""
        due, timings = self._due, self._timings
        while True:
            while due and due[0][0] <= (now := time.perf_counter()):
                at, number, player = due[0]
                if player.send_next():
                    heapq.heapreplace(due, (at + CHUNK_SECONDS, number, player))
                else:
                    heapq.heappop(due)
                timings.late.append(now - at)
                timings.late_at.append(now)
            wait = due[0][0] - time.perf_counter() if due else CHUNK_SECONDS
            await asyncio.sleep(max(wait, WAKE_SECONDS))


async def transcribe(url: str, dialect: Dialect, messages: Sequence[bytes]) -> str:
    """Return the text of one recording, sent as fast as the server takes it.

    Raises:
        Refused, LoadError: the server did not give it.
    """
    player = await open_player(url, dialect, messages, Timings())
    while player.send_next():
        pass
    heard = -1
    try:
        while not player.ended.done():
            if heard == player.responses.answered:
                raise LoadError(f"{url}: no message for {SILENT_SECONDS:.0f} s of a single stream")
            heard = player.responses.answered
            await asyncio.wait([player.ended], timeout=SILENT_SECONDS)
        if failure := player.ended.result():
            raise LoadError(f"{url}: {failure}")
    finally:
        player.abort()
    return player.text


async def messages_ahead(url: str, dialect: Dialect, sample: Sequence[bytes]) -> int:
    """Return how many messages after a chunk's own have to come before it is answered.

    Sends one message at a time and waits for an answer, on a stream of its own; at once 0 where the
    dialect knows of no look-ahead.

    Args:
        sample: whole messages of some recording.
    Raises:
        Refused, LoadError: as of `open_player`; or the server does not answer each 60 ms.
    """
    if not dialect.looks_ahead:
        return 0
    player = await open_player(url, dialect, (), Timings())
    answered_after: list[int] = []
    try:
        for count, message in enumerate(itertools.islice(itertools.cycle(sample), PROBE_MESSAGES)):
            before = player.responses.answered
            player.send(message)
            await _until_answered(player, before + 1)
            answered_after += [count] * (player.responses.answered - before)
            if len(answered_after) > 1:
                break
    finally:
        player.abort()
    if len(answered_after) < 2 or answered_after[1] != answered_after[0] + 1:
        raise LoadError(
            f"{url}: {len(sample[0])}-byte messages of {CHUNK} samples were answered after messages "
            f"{[count + 1 for count in answered_after]}; latency per chunk needs a model that "
            "answers each 60 ms"
        )
    return answered_after[0]


async def _until_answered(player: Player, count: int) -> None:
    deadline = time.perf_counter() + PROBE_SECONDS
    while player.responses.answered < count and time.perf_counter() < deadline:
        await asyncio.sleep(0.005)
