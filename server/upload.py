"""Uploads: a recording in the body of a POST, spooled to disk, decoded and recognised as it is read.

The body is multipart/form-data, with the recording in the part `file` (or `audio`) and small fields
beside it. It may be of any length: the file is on disk, of its samples there is a second in memory,
and the engine holds `Limits.unanswered_bytes` of them at most. An upload takes a slot as a live
stream does, and its audio is paced as theirs is. No meaning of fields, no answers: see
`server.adapters`.
"""

from __future__ import annotations

import asyncio
import logging
import tempfile
from collections.abc import AsyncGenerator, AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from aiohttp import BodyPartReader, ClientError, MultipartReader, web
from numpy.typing import NDArray

from server.adapters.transcribe import FILE_FIELDS
from server.channels import Channels
from server.limits import Limits
from server.protocol import NO_KEYWORDS
from server.request import Refusal
from stream.audio import AudioError, FormatError, read_chunks
from stream.engine import CHUNK, Result
from stream.features import SAMPLE_RATE

__all__ = ["Form", "Refused", "receive_form", "recognise"]

logger = logging.getLogger(__name__)
FIELD_BYTES = 65_536
READ_BYTES = 1 << 18
MOST_FIELDS = 64
SAMPLE_BYTES = 2  # in `Limits.unanswered_bytes`
LOOK_SECONDS = 0.5  # how often an upload that is paced looks around


class Refused(Exception):
    """A request that is not served; `refusal` says why."""

    def __init__(self, status: int, text: str, reason: str = "request") -> None:
        super().__init__(text)
        self.refusal = Refusal(status, text, reason)


@dataclass(frozen=True)
class Form:
    """A body that came in whole.

    Attributes:
        fields: names and values of the small parts, in order.
        filename: as the client calls the recording.
        path: where it lies, as long as `receive_form` is entered.
    """

    fields: tuple[tuple[str, str], ...]
    filename: str
    path: Path


@asynccontextmanager
async def receive_form(request: web.BaseRequest, limits: Limits) -> AsyncIterator[Form]:
    """Receive a form with a recording; yields it, and deletes the recording afterwards.

    Raises:
        Refused: the body is no such form, is too large, or stops coming.
    """
    if request.content_type != "multipart/form-data":
        raise Refused(
            400, f"content type is {request.content_type[:100]!r}; send a form: curl -F file=@…"
        )
    if (request.content_length or 0) > limits.upload_bytes:
        raise _too_large(limits)
    if request.headers.get("Expect", "").lower() == "100-continue":
        await request.writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        request.writer.output_size = 0
    with tempfile.TemporaryDirectory(prefix="rill-upload-") as folder:
        path = Path(folder) / "recording"
        try:
            form = await _receive(await request.multipart(), path, limits)
        except TimeoutError as error:
            raise Refused(408, f"nothing came for {limits.idle_seconds:g} s") from error
        except (ValueError, LookupError, ClientError, web.HTTPException, AssertionError) as error:
            raise Refused(400, f"the form cannot be read: {str(error)[:200]}") from error
        yield form


async def _receive(reader: MultipartReader, path: Path, limits: Limits) -> Form:
    fields: list[tuple[str, str]] = []
    filename: str | None = None
    while True:
        async with asyncio.timeout(limits.idle_seconds):
            part = await reader.next()
        if part is None:
            break
        if not isinstance(part, BodyPartReader) or not part.name:
            raise Refused(400, "the form has a part without a name")
        if part.name in FILE_FIELDS and filename is None:
            filename = part.filename or "audio"
            await _spool(part, path, limits)
        elif len(fields) == MOST_FIELDS:
            raise Refused(413, f"the form has more than {MOST_FIELDS} fields", "size")
        else:
            fields.append((part.name, await _read_field(part, limits)))
    if filename is None:
        raise Refused(400, f"the form has no part {FILE_FIELDS[0]!r} with the recording")
    return Form(tuple(fields), filename, path)


async def _spool(part: BodyPartReader, path: Path, limits: Limits) -> None:
    size = 0
    with path.open("wb") as file:
        while chunk := await _next_chunk(part, limits):
            size += len(chunk)
            if size > limits.upload_bytes:
                raise _too_large(limits)
            await asyncio.to_thread(file.write, chunk)  # a slow disk stops nobody else


async def _read_field(part: BodyPartReader, limits: Limits) -> str:
    value = bytearray()
    while chunk := await _next_chunk(part, limits):
        value += chunk
        if len(value) > FIELD_BYTES:
            raise Refused(
                413, f"field {str(part.name)[:100]!r} is over {FIELD_BYTES} bytes", "size"
            )
    return value.decode(errors="replace")


async def _next_chunk(part: BodyPartReader, limits: Limits) -> bytes:
    async with asyncio.timeout(limits.idle_seconds):
        return bytes(await part.read_chunk(READ_BYTES))


def _too_large(limits: Limits) -> Refused:
    return Refused(413, f"the upload is over {limits.upload_bytes} bytes", "size")


async def recognise(
    form: Form,
    channels: Channels,
    limits: Limits,
    request: web.BaseRequest,
    keywords: Mapping[str, float] = NO_KEYWORDS,
) -> AsyncGenerator[Result, None]:
    """Decode and recognise a recording; yields each result, the last one with `last`.

    Args:
        form: that holds the recording.
        channels: where to recognise it.
        limits: how fast, and how much at a time.
        request: it stops where its peer is gone.
        keywords: boost of each, that the decoder favours.
    Raises:
        Refused: no slot is free, the recording cannot be decoded, or the engine failed.
    """
    arrived: asyncio.Queue[Result | Refused] = asyncio.Queue()
    fault: list[Refused] = []
    room = asyncio.Event()  # the feeder has something to look at

    def take(result: Result | Refused) -> None:
        arrived.put_nowait(result)
        room.set()

    full = channels.full
    channel = channels.open(
        take,
        lambda reason: take(Refused(500, reason, "engine")),
        live=False,
        keywords=keywords,
    )
    if channel is None:
        raise Refused(503, str(channels.refusal()), "full" if full else "not ready")
    loop = asyncio.get_running_loop()
    began = loop.time()
    most = limits.unanswered_bytes / SAMPLE_BYTES / SAMPLE_RATE

    async def make_room() -> None:
        while not channel.closed:
            seconds = channel.received / SAMPLE_RATE
            waits = channel.backlog + arrived.qsize() * CHUNK / SAMPLE_RATE
            if (wait := limits.wait_seconds(seconds, loop.time() - began)) > 0:
                await asyncio.sleep(min(wait, LOOK_SECONDS))
            elif waits >= most:
                room.clear()
                await room.wait()
            else:
                return

    async def feed() -> None:
        chunks = read_chunks(form.path)
        try:
            while (samples := await asyncio.to_thread(_next, chunks)) is not None:
                channel.push(samples)
                await make_room()
            channel.finish()
        except AudioError as error:  # said behind the text of what could be decoded
            status = 415 if isinstance(error, FormatError) else 400
            refused = Refused(status, f"{form.filename[:100]}: {error.fault}")
            if channel.received:
                fault.append(refused)
                channel.finish()
            else:
                take(refused)
        except Exception:
            logger.exception("an upload failed")
            take(Refused(500, "the server failed", "engine"))

    feeder = asyncio.create_task(feed())
    try:
        while request.transport is not None:
            result = await arrived.get()
            room.set()
            if isinstance(result, Refused):
                raise result
            if result.last and fault:
                raise fault[0]
            yield result
            if result.last:
                return
        raise ConnectionResetError("the client is gone")
    finally:
        feeder.cancel()
        channel.close()
        await asyncio.gather(feeder, return_exceptions=True)


def _next(chunks: Iterator[NDArray[np.float32]]) -> NDArray[np.float32] | None:
    return next(chunks, None)
