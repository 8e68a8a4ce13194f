"""A form: the body of an upload, received part by part.

The body is multipart/form-data, with the recording in the part `file` (or `audio`) and small fields
beside it, which may have `FIELD_BYTES` together. `server.http.body` has the rules of all uploads.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager

from aiohttp import BodyPartReader, MultipartReader, web

from server.adapters.transcribe import FILE_FIELDS
from server.http.body import READ_BYTES, Body, Slot, check_encoding, in_time, spooling, too_large
from server.http.spool import Spool, Spooled
from server.limits import Limits
from server.refusals import Refusal

FIELD_BYTES = 65_536
MOST_FIELDS = 64


@asynccontextmanager
async def receive_form(
    request: web.BaseRequest,
    limits: Limits,
    spool: Spool,
    reserve: Callable[[Mapping[str, str]], Slot],
) -> AsyncIterator[Body]:
    """Receive a form with a recording; yields it, and deletes the recording afterwards.

    Args:
        request: with an unread body.
        limits: of sizes and times.
        spool: where the recording is kept.
        reserve: takes a slot, called with the fields before the recording; may raise Refusal.
    Raises:
        Refusal: the body is not such a form, is too large, or stops.
    """
    if request.content_type != "multipart/form-data":
        raise Refusal(
            400, f"content type is {request.content_type[:100]!r}; send a form: curl -F file=@…"
        )
    async with spooling(request, limits, spool) as spooled:
        reception = _Reception(limits, spooled, reserve)
        try:
            async with in_time(limits):
                body = await reception.receive(request)
            yield body
        finally:
            reception.release()


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
        self._slot: Slot | None = None
        self._body: Body | None = None

    def release(self) -> None:
        """Give back what was taken."""
        slot = self._body.slot if self._body else self._slot
        if slot is not None:
            slot.close()

    async def receive(self, request: web.BaseRequest) -> Body:
        """Return the form once it is whole."""
        with _parsing():
            reader = await request.multipart()
        filename = ""
        while (part := await self._next_part(reader)) is not None:
            if part.name in FILE_FIELDS and self._slot is None:
                filename = _clean(part.filename or "audio")
                check_encoding(part.headers.get("Content-Encoding", ""), "the recording")
                self._slot = self._reserve(dict(self._fields))
                await self._spool(part)
            elif len(self._fields) == MOST_FIELDS:
                raise Refusal(413, f"the form has more than {MOST_FIELDS} fields", "size")
            else:
                self._fields.append((_clean(str(part.name)), await self._read_field(part)))
        if self._slot is None:
            raise Refusal(400, f"the form has no part {FILE_FIELDS[0]!r} with the recording")
        self._body = Body(filename, self._spooled.path, self._slot, tuple(self._fields))
        return self._body

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
                raise too_large(self._limits)
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
