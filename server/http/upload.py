"""Uploads: a recording on disk, recognised while it is decoded.

It may have any length up to `Limits.recording_seconds`: one second of samples is in memory, and the
engine holds at most `Limits.unanswered_bytes`. An upload takes a slot like a live stream, and its
audio is limited to the same pace. `server.http.body` receives it; fields and answers are in
`server.adapters`.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator, Iterator, Mapping

from aiohttp import web

from server.http.body import Body
from server.limits import Limits
from server.refusals import Refusal, quoted
from stream.audio import AudioError, FormatError, Recording, TooLongError
from stream.engine.engine import Result
from stream.front_end.log_mel import SAMPLE_RATE
from stream.stage import Floats

logger = logging.getLogger(__name__)
SAMPLE_BYTES = 2  # in `Limits.unanswered_bytes`
LOOK_SECONDS = 0.5  # how often a waiting upload checks again


class Upload:
    """One recording that is being recognised.

    Args:
        body: with the recording and the slot.
        limits: of pace, length and memory.
        request: recognition stops when its client is gone.
        keywords: the boost of each, for the decoder.

    Attributes:
        notes: on the recording, a sentence each; complete after the last result.
    """

    def __init__(
        self,
        body: Body,
        limits: Limits,
        request: web.BaseRequest,
        keywords: Mapping[str, float] | None = None,
    ) -> None:
        self.notes: list[str] = []
        self._body, self._slot = body, body.slot
        self._limits = limits
        self._request = request
        self._began = 0.0  # of the event loop
        self._fault: Refusal | None = None  # raised after the text of what could be decoded
        if keywords:
            self._slot.channel.set_hotwords(keywords)

    async def results(self) -> AsyncGenerator[Result, None]:
        """Decode and recognise the recording; yields each result, the last one with `last`.

        Raises:
            Refusal: the recording cannot be decoded, is too long, or the engine failed.
        """
        slot, limits = self._slot, self._limits
        self._began = asyncio.get_running_loop().time()
        feeder = asyncio.create_task(self._feed())
        try:
            while self._request.transport is not None:
                async with asyncio.timeout_at(self._began + limits.stream_seconds):
                    result = await slot.arrived.get()
                slot.room.set()
                if isinstance(result, Refusal):
                    raise result
                if result.last and self._fault:
                    raise self._fault
                yield result
                if result.last:
                    return
            raise ConnectionResetError("the client is gone")
        except TimeoutError as error:
            raise Refusal(
                503, f"the recording was not recognised within {limits.stream_seconds:g} s", "slow"
            ) from error
        finally:
            feeder.cancel()
            slot.close()
            await asyncio.gather(feeder, return_exceptions=True)

    async def _feed(self) -> None:
        """Push the recording to the engine while it is decoded."""
        slot, body = self._slot, self._body
        blocks = self._blocks()
        try:
            while (samples := await asyncio.to_thread(_next, blocks)) is not None:
                slot.channel.push(samples)
                await self._make_room()
            slot.channel.finish()
        except AudioError as error:
            refusal = Refusal(_status(error), f"{body.filename[:100]}: {error.fault}", "recording")
            if slot.channel.received:
                self._fault = refusal
                slot.channel.finish()
            else:
                slot.receive_result(refusal)
        except Exception:
            logger.exception("an upload failed")
            slot.receive_result(Refusal(500, "the server failed", "engine"))

    def _blocks(self) -> Iterator[Floats]:
        """Decode the recording, on another thread.

        It is closed here: cancelling the task does not end the thread that is decoding.
        """
        body = self._body
        with Recording(body.path, most_seconds=self._limits.recording_seconds) as recording:
            yield from recording.blocks()
            for note in recording.notes:
                logger.warning("upload of %s: %s", quoted(body.filename), note)
            self.notes += recording.notes

    async def _make_room(self) -> None:
        """Wait until the backlog and the pace of uploads allow more audio."""
        slot, limits = self._slot, self._limits
        channel = slot.channel
        loop = asyncio.get_running_loop()
        most = limits.unanswered_bytes / SAMPLE_BYTES / SAMPLE_RATE
        while not channel.closed:
            seconds = channel.received / SAMPLE_RATE
            waits = channel.backlog + slot.arrived.qsize() * channel.chunk / SAMPLE_RATE
            if (wait := limits.wait_seconds(seconds, loop.time() - self._began)) > 0:
                await asyncio.sleep(min(wait, LOOK_SECONDS))
            elif waits >= most:
                slot.room.clear()
                await slot.room.wait()
            else:
                return


def _status(error: AudioError) -> int:
    if isinstance(error, FormatError):
        return 415
    return 413 if isinstance(error, TooLongError) else 400


def _next(blocks: Iterator[Floats]) -> Floats | None:
    return next(blocks, None)
