"""One stream to a server, from the client's side: audio in, growing text and latencies out.

It speaks Myrtle's websocket API, greedy or beam, to this server or to Myrtle's. Audio is (n,) float32 at
16 kHz in pieces of any size; it is sent as 60 ms messages (1920 bytes). A response says by its `end` how much
audio it answers: a message where the model's chunks are 60 ms, several where they are longer. The caller opens
files and microphones.

Compute latency (CL) is the time from sending the message that completes a chunk to receiving its response; CL50
and CL99 are its percentiles, sorted[int(n * p / 100)]. A last message of less than 60 ms has none.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterable, AsyncIterator, Callable, Iterable
from dataclasses import dataclass
from typing import TypeAlias
from urllib.parse import urlsplit

import msgspec
import numpy as np
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import (
    ConnectionClosed,
    ConnectionClosedOK,
    InvalidStatus,
    WebSocketException,
)

from server.adapters.myrtle_messages import (
    CHUNK,
    CHUNK_SECONDS,
    PATH,
    QUERY,
    SAMPLE_BYTES,
    Response,
    messages_until,
    pcm_bytes,
    read_response,
)
from stream.errors import InputError
from stream.front_end.log_mel import SAMPLE_RATE
from stream.stage import Floats
from stream.transcripts.transcript import TimedWord

DEFAULT_URL = "ws://127.0.0.1:3030"
OPEN_SECONDS = 10.0
CLOSE_SECONDS = 5.0

Chunks: TypeAlias = Iterable[Floats] | AsyncIterable[Floats]
OnText: TypeAlias = Callable[[str, str], None]


class StreamError(InputError):
    """A stream that did not end as it should; `transcript` is the text until then."""

    def __init__(self, message: str, transcript: str = "") -> None:
        super().__init__(message)
        self.transcript = transcript


@dataclass(frozen=True)
class StreamOutcome:
    """What came of a stream.

    Attributes:
        transcript: the text, without the space that it begins with on the wire.
        latencies: of each whole chunk, in order, seconds.
        segments: words between two endpoints, as far as the server sends words.
        seconds: of audio.
    """

    transcript: str
    latencies: tuple[float, ...] = ()
    segments: tuple[tuple[TimedWord, ...], ...] = ()
    seconds: float = 0.0

    def latency(self, percent: float) -> float:
        """Return a percentile of the latencies, seconds; nan where there are none."""
        if not self.latencies:
            return float("nan")
        ordered = sorted(self.latencies)
        return ordered[min(int(len(ordered) * percent / 100), len(ordered) - 1)]


async def stream_audio(
    url: str, chunks: Chunks, on_text: OnText | None = None, realtime: bool = True
) -> StreamOutcome:
    """Stream audio to a server and collect its text.

    Args:
        url: of the server, "ws://host:port"; a path and query of one's own are left as they are.
        chunks: the audio, (n,) float32 at 16 kHz each, any n; a microphone gives an async iterable.
        on_text: called when the text changes, with all final text and the provisional text after it.
        realtime: send message k at k * 60 ms, as a microphone would; else as fast as it is taken.
    Raises:
        StreamError: no server answers there, it refused the stream, or it did not end it well.
    Whatever `chunks` raises is raised, and ends the stream.
    """
    target = stream_url(url)
    try:
        connection = await connect(
            target,
            compression=None,
            ping_interval=None,
            open_timeout=OPEN_SECONDS,
            close_timeout=CLOSE_SECONDS,
            proxy=None,
        )
    except InvalidStatus as error:
        answer = (error.response.body or b"").decode(errors="replace").strip()
        raise StreamError(
            f"{url}: refused with HTTP {error.response.status_code}: {answer or 'no reason given'}"
        ) from error
    except (OSError, TimeoutError, WebSocketException, ValueError) as error:
        raise StreamError(
            f"{url}: no server answers ({error or 'timed out'}). Start one with: rill serve"
        ) from error
    stream = _Stream(connection, url, on_text or (lambda final, provisional: None))
    async with connection:
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(stream.send(chunks, realtime))
                group.create_task(stream.receive())
        except ExceptionGroup as errors:
            raise errors.exceptions[0] from errors
    return stream.outcome()


def stream_url(url: str) -> str:
    """Return where streams are opened on a server; a path and query of one's own stay."""
    parts = urlsplit(url)
    if parts.path in ("", "/") and not parts.query:
        return f"{parts.scheme}://{parts.netloc}{PATH}?{QUERY}"
    return url


class _Stream:
    """The two directions of a stream."""

    def __init__(self, connection: ClientConnection, url: str, on_text: OnText) -> None:
        self._connection = connection
        self._url = url
        self._on_text = on_text
        self._sent: list[float] = []  # when each whole message left
        self._answered = 0  # messages
        self._samples = 0
        self._latencies: list[float] = []
        self._final = ""
        self._segments: list[tuple[TimedWord, ...]] = []
        self._words: list[TimedWord] = []  # of the segment that is being spoken

    async def send(self, chunks: Chunks, realtime: bool) -> None:
        """Send all audio and the empty message that ends a stream."""
        start = time.perf_counter()
        try:
            async for message in _messages(chunks):
                if realtime:
                    due = start + CHUNK_SECONDS * (len(self._sent) + 1)
                    await asyncio.sleep(max(0.0, due - time.perf_counter()))
                if len(message) == SAMPLE_BYTES * CHUNK:
                    self._sent.append(time.perf_counter())
                self._samples += len(message) // SAMPLE_BYTES
                await self._connection.send(message)
            await self._connection.send(b"")
        except ConnectionClosed:
            pass  # the receiver sees it too, and knows what it means

    async def receive(self) -> None:
        """Take responses until the server closes."""
        provisional = ""
        while True:
            try:
                message = await self._connection.recv()
            except ConnectionClosedOK:
                return
            except ConnectionClosed as error:
                raise StreamError(
                    f"{self._url}: the server ended the stream: {error}", self._final.strip()
                ) from error
            now = time.perf_counter()
            try:
                response = read_response(message)
                text = response.alternatives[0].transcript
            except (msgspec.DecodeError, IndexError) as error:
                raise StreamError(
                    f"{self._url}: not a response of Myrtle's API: {message[:100]!r}",
                    self._final.strip(),
                ) from error
            # With beam search a chunk may have a final and a partial response: the first counts.
            if (answered := messages_until(response.end)) > self._answered < len(self._sent):
                self._answered = min(answered, len(self._sent))
                self._latencies.append(now - self._sent[self._answered - 1])
            self._add_words(response)
            before = (self._final, provisional)
            if response.is_provisional:
                provisional = text
            else:
                self._final += text
                provisional = ""
            if before != (self._final, provisional):
                self._on_text(self._final, provisional)

    def _add_words(self, response: Response) -> None:
        self._words += [
            TimedWord(word.word, word.start, word.end, word.confidence)
            for word in response.words or ()
        ]
        if response.end_of_utterance and self._words:
            self._segments.append(tuple(self._words))
            self._words = []

    def outcome(self) -> StreamOutcome:
        """Return what came, once the server has closed."""
        segments = [*self._segments, tuple(self._words)] if self._words else self._segments
        seconds = self._samples / SAMPLE_RATE
        return StreamOutcome(self._final.strip(), tuple(self._latencies), tuple(segments), seconds)


async def _messages(chunks: Chunks) -> AsyncIterator[bytes]:
    """Yield the audio as PCM messages of 60 ms; the last may be shorter."""
    rest = np.zeros(0, np.float32)
    async for samples in as_async(chunks):
        rest = np.concatenate([rest, samples])
        whole = len(rest) // CHUNK * CHUNK
        for start in range(0, whole, CHUNK):
            yield pcm_bytes(rest[start : start + CHUNK])
        rest = rest[whole:]
    if len(rest):
        yield pcm_bytes(rest)


async def as_async(chunks: Chunks) -> AsyncIterator[Floats]:
    """Yield chunks, whichever kind of iterable they come from."""
    if isinstance(chunks, AsyncIterable):
        async for samples in chunks:
            yield samples
    else:
        for samples in chunks:
            yield samples
