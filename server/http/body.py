"""A body: an upload's recording on disk, and the slot that will recognise it.

Here are the limits that all uploads have, and the reception of a body that is the recording itself;
`server.http.form` receives forms. Rules:

1. A body that its headers rule out is refused before it is requested (`Expect: 100-continue`).
2. A slot is taken before the recording is read, so that no more are spooled than can be recognised.
3. A body has to arrive within `Limits.upload_seconds`, without a pause of `Limits.idle_seconds`. Its
   recording may have `Limits.upload_bytes`, within the budget of the spool.
4. Content-Encoding is refused with 415: a kilobyte could become a gigabyte.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from aiohttp import web

from server.engine.models import Model
from server.http.spool import Spool, Spooled, SpoolFullError
from server.limits import Limits
from server.refusals import Refusal
from stream.engine.engine import Result

READ_BYTES = 1 << 18
SMALL_BYTES = 65_536  # of a body other than a recording
AS_IT_IS = ("", "identity")


class Slot:
    """A slot of a model, for one recording.

    Args:
        model: whose slot is taken.

    Attributes:
        model: of the slot.
        channel: of the slot.
        arrived: results of the engine, in order.
        room: set with each result.

    Raises:
        Refusal: all slots are in use.
    """

    def __init__(self, model: Model) -> None:
        self.model = model
        self.arrived: asyncio.Queue[Result | Refusal] = asyncio.Queue()
        self.room = asyncio.Event()
        full = model.channels.full
        channel = model.channels.open(self, live=False)
        if channel is None:
            raise Refusal(503, str(model.channels.refusal()), "full" if full else "not ready")
        self.channel = channel

    def receive_result(self, result: Result | Refusal) -> None:
        """Take the next result, or the reason why there is none."""
        self.arrived.put_nowait(result)
        self.room.set()

    def receive_fault(self, reason: str) -> None:
        """Take note that the engine failed the channel."""
        self.receive_result(Refusal(500, reason, "engine"))

    def close(self) -> None:
        """Free it; a second call does nothing."""
        self.channel.close()


@dataclass
class Body:
    """A body that was received completely.

    Attributes:
        filename: of the recording, from the client.
        path: of the recording, while the context that yielded it is open.
        slot: that was taken for it.
        fields: of a form, names and values of the small parts, in order.
        sha256: of a body that is the recording itself.
    """

    filename: str
    path: Path
    slot: Slot
    fields: tuple[tuple[str, str], ...] = ()
    sha256: str = ""


@asynccontextmanager
async def spooling(
    request: web.BaseRequest, limits: Limits, spool: Spool
) -> AsyncIterator[Spooled]:
    """Yield room on disk for the body of a request, which is asked for now; rules 1 and 4."""
    check_encoding(request.headers.get("Content-Encoding", ""), "the body")
    if (request.content_length or 0) > limits.upload_bytes:
        raise too_large(limits)
    try:
        spool.check(request.content_length or 0)
        if request.headers.get("Expect", "").lower() == "100-continue":
            await request.writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
            request.writer.output_size = 0
        with spool.recording() as spooled:
            yield spooled
    except SpoolFullError as error:
        raise Refusal(507, str(error), "spool") from error


@asynccontextmanager
async def in_time(limits: Limits) -> AsyncIterator[None]:
    """Refuse a body that is not whole in time, or of which nothing comes; rule 3."""
    deadline = asyncio.timeout(limits.upload_seconds)
    try:
        async with deadline:
            yield
    except TimeoutError as error:
        if deadline.expired():
            text = f"the body was not whole after {limits.upload_seconds:g} s"
        else:
            text = f"nothing came for {limits.idle_seconds:g} s"
        raise Refusal(408, text, "slow") from error


@asynccontextmanager
async def receive_body(
    request: web.BaseRequest, limits: Limits, spool: Spool, reserve: Callable[[], Slot]
) -> AsyncIterator[Body]:
    """Receive a body that is a recording; yields it, and deletes the recording afterwards.

    Args:
        request: with an unread body.
        limits: of sizes and times.
        spool: where the recording is kept.
        reserve: takes a slot; may raise Refusal.
    Raises:
        Refusal: the body is too large, or stops.
    """
    async with spooling(request, limits, spool) as spooled:
        slot = reserve()
        try:
            digest = hashlib.sha256()
            async with in_time(limits):
                while chunk := await _next_chunk(request, limits):
                    if spooled.size + len(chunk) > limits.upload_bytes:
                        raise too_large(limits)
                    digest.update(chunk)
                    await spooled.write(chunk)
                await spooled.finish()
            yield Body("recording", spooled.path, slot, sha256=digest.hexdigest())
        finally:
            slot.close()


async def receive_small(request: web.BaseRequest, limits: Limits) -> bytes:
    """Receive a small body other than a recording, into memory.

    Raises:
        Refusal: it is too large, or too slow.
    """
    check_encoding(request.headers.get("Content-Encoding", ""), "the body")
    body = bytearray()
    async with in_time(limits):
        while chunk := await _next_chunk(request, limits):
            body += chunk
            if len(body) > SMALL_BYTES:
                raise Refusal(413, f"the body is over {SMALL_BYTES} bytes", "size")
    return bytes(body)


async def _next_chunk(request: web.BaseRequest, limits: Limits) -> bytes:
    try:
        async with asyncio.timeout(limits.idle_seconds):
            return await request.content.read(READ_BYTES)
    except (TimeoutError, ConnectionError):
        raise
    except Exception as error:  # whatever aiohttp raises about malformed chunks
        raise Refusal(400, f"the body cannot be read: {str(error)[:200]}") from error


def check_encoding(encoding: str, what: str) -> None:
    """Refuse what is compressed on its way; rule 4."""
    if encoding.strip().lower() not in AS_IT_IS:
        raise Refusal(415, f"{what} has Content-Encoding {encoding[:100]!r}; send it as it is")


def too_large(limits: Limits) -> Refusal:
    """Return the refusal of a body that is larger than it may be."""
    return Refusal(413, f"the upload is over {limits.upload_bytes} bytes", "size")
