"""A form: the body of an upload, received part by part.

The body is multipart/form-data, with the recording in the part `file` (or `audio`) and small fields
beside it. Rules:

1. A body that its headers rule out is refused before it is requested (`Expect: 100-continue`).
2. A slot is taken before the recording is read, so that no more are spooled than can be recognised.
3. A body has to arrive within `Limits.upload_seconds`, without a pause of `Limits.idle_seconds`; its
   fields may have `FIELD_BYTES` together, its recording `Limits.upload_bytes`, within the budget of
   the spool.
4. Content-Encoding is refused with 415: a kilobyte could become a gigabyte.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path

from aiohttp import BodyPartReader, MultipartReader, web

from server.adapters.transcribe import FILE_FIELDS
from server.engine.models import Model
from server.http.spool import Spool, Spooled, SpoolFullError
from server.limits import Limits
from server.refusals import Refusal
from stream.engine.engine import Result

FIELD_BYTES = 65_536
READ_BYTES = 1 << 18
MOST_FIELDS = 64
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
class Form:
    """A body that was received completely.

    Attributes:
        fields: names and values of the small parts, in order.
        filename: of the recording, from the client.
        path: of the recording, while the context of `receive_form` is open.
        slot: that was taken for it.
    """

    fields: tuple[tuple[str, str], ...]
    filename: str
    path: Path
    slot: Slot


@asynccontextmanager
async def receive_form(
    request: web.BaseRequest,
    limits: Limits,
    spool: Spool,
    reserve: Callable[[Mapping[str, str]], Slot],
) -> AsyncIterator[Form]:
    """Receive a form with a recording; yields it, and deletes the recording afterwards.

    Args:
        request: with an unread body.
        limits: of sizes and times.
        spool: where the recording is kept.
        reserve: takes a slot, called with the fields before the recording; may raise Refusal.
    Raises:
        Refusal: the body is not such a form, is too large, or stops.
    """
    _check_headers(request, limits)
    try:
        spool.check(request.content_length or 0)
        if request.headers.get("Expect", "").lower() == "100-continue":
            await request.writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
            request.writer.output_size = 0
        with spool.recording() as spooled:
            reception = _Reception(limits, spooled, reserve)
            try:
                yield await reception.receive(request)
            finally:
                reception.release()
    except SpoolFullError as error:
        raise Refusal(507, str(error), "spool") from error


def _check_headers(request: web.BaseRequest, limits: Limits) -> None:
    if request.content_type != "multipart/form-data":
        raise Refusal(
            400, f"content type is {request.content_type[:100]!r}; send a form: curl -F file=@…"
        )
    _check_encoding(request.headers.get("Content-Encoding", ""), "the body")
    if (request.content_length or 0) > limits.upload_bytes:
        raise _too_large(limits)


def _check_encoding(encoding: str, what: str) -> None:
    if encoding.strip().lower() not in AS_IT_IS:
        raise Refusal(415, f"{what} has Content-Encoding {encoding[:100]!r}; send it as it is")


class _Reception:
    """One body that is coming in."""

    def __init__(
        self, limits: Limits, spooled: Spooled, reserve: Callable[[Mapping[str, str]], Slot]
    ) -> None:
        self._limits = limits
        self._spooled = spooled
        self._reserve = reserve
        self._fields: list[tuple[str, str]] = []
        self._field_bytes = 0
        self._form: Form | None = None
        self._slot: Slot | None = None

    def release(self) -> None:
        """Give back what was taken."""
        slot = self._form.slot if self._form else self._slot
        if slot is not None:
            slot.close()

    async def receive(self, request: web.BaseRequest) -> Form:
        """Return the form once it is whole."""
        limits = self._limits
        deadline = asyncio.timeout(limits.upload_seconds)
        try:
            async with deadline:
                return await self._receive(request)
        except TimeoutError as error:
            if deadline.expired():
                text = f"the body was not whole after {limits.upload_seconds:g} s"
            else:
                text = f"nothing came for {limits.idle_seconds:g} s"
            raise Refusal(408, text, "slow") from error

    async def _receive(self, request: web.BaseRequest) -> Form:
        with _parsing():
            reader = await request.multipart()
        filename = ""
        while (part := await self._next_part(reader)) is not None:
            if part.name in FILE_FIELDS and self._slot is None:
                filename = _clean(part.filename or "audio")
                _check_encoding(part.headers.get("Content-Encoding", ""), "the recording")
                self._slot = self._reserve(dict(self._fields))
                await self._spool(part)
            elif len(self._fields) == MOST_FIELDS:
                raise Refusal(413, f"the form has more than {MOST_FIELDS} fields", "size")
            else:
                self._fields.append((_clean(str(part.name)), await self._read_field(part)))
        if self._slot is None:
            raise Refusal(400, f"the form has no part {FILE_FIELDS[0]!r} with the recording")
        self._form = Form(tuple(self._fields), filename, self._spooled.path, self._slot)
        return self._form

    async def _next_part(self, reader: MultipartReader) -> BodyPartReader | None:
        with _parsing():
            async with asyncio.timeout(self._limits.idle_seconds):
                part = await reader.next()
        if part is not None and (not isinstance(part, BodyPartReader) or not part.name):
            raise Refusal(400, "the form has a part without a name")
        return part

    async def _next_chunk(self, part: BodyPartReader) -> bytes:
        with _parsing():
            async with asyncio.timeout(self._limits.idle_seconds):
                return bytes(await part.read_chunk(READ_BYTES))

    async def _spool(self, part: BodyPartReader) -> None:
        while chunk := await self._next_chunk(part):
            if self._spooled.size + len(chunk) > self._limits.upload_bytes:
                raise _too_large(self._limits)
            await self._spooled.write(chunk)
        await self._spooled.finish()

    async def _read_field(self, part: BodyPartReader) -> str:
        value = bytearray()
        while chunk := await self._next_chunk(part):
            value += chunk
            self._field_bytes += len(chunk)
            if self._field_bytes > FIELD_BYTES:
                raise Refusal(
                    413,
                    f"with {_clean(str(part.name))[:100]!r} the fields are over {FIELD_BYTES} bytes",
                    "size",
                )
        return value.decode(errors="replace")


@contextmanager
def _parsing() -> Iterator[None]:
    """Turn whatever the parser of forms raises about a body into a refusal."""
    try:
        yield
    except (TimeoutError, ConnectionError):
        raise
    except Exception as error:
        raise Refusal(400, f"the form cannot be read: {_clean(str(error))[:200]}") from error


def _clean(text: str) -> str:
    """Return text of a peer without what no answer can be encoded with."""
    return text.encode(errors="replace").decode()


def _too_large(limits: Limits) -> Refusal:
    return Refusal(413, f"the upload is over {limits.upload_bytes} bytes", "size")
