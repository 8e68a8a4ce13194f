from __future__ import annotations

import asyncio
import math
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import numpy as np
import pytest
from numpy.typing import NDArray
from websockets.asyncio.server import ServerConnection, serve

from server.client.stream import StreamError, StreamOutcome, stream_audio
from tests.server.scripted import ScriptedEngine, pcm, samples_of, serving

Handler = Callable[[ServerConnection], Awaitable[None]]


@asynccontextmanager
async def foreign_server(handler: Handler) -> AsyncIterator[str]:
    async with serve(handler, "127.0.0.1", 0) as server:
        yield f"ws://127.0.0.1:{server.sockets[0].getsockname()[1]}"


def response(start: float, end: float, text: str, provisional: bool = False) -> str:
    alternative = f'{{"transcript":"{text}","confidence":1.0}}'
    flag = str(provisional).lower()
    return f'{{"start":{start},"end":{end},"is_provisional":{flag},"alternatives":[{alternative}]}}'


async def test_the_text_grows_and_each_whole_chunk_has_a_latency() -> None:
    words = {0: " the", 2: " ca", 3: "t", -1: " sat"}
    seen = []
    async with serving(ScriptedEngine(1, lambda chunk, _: words.get(chunk, ""))) as service:
        outcome = await stream_audio(
            f"ws://127.0.0.1:{service.port}",
            [samples_of(pcm(0.25))],
            lambda final, provisional: seen.append(final + provisional),
        )
    assert outcome.transcript == "the cat sat"
    assert seen == [" the", " the ca", " the cat", " the cat sat"]
    assert len(outcome.latencies) == 4
    assert all(0 < latency < 1 for latency in outcome.latencies)


async def test_real_time_takes_real_time_and_fast_does_not() -> None:
    loop = asyncio.get_running_loop()
    took = {}
    async with serving(ScriptedEngine(1)) as service:
        for realtime in (True, False):
            start = loop.time()
            await stream_audio(service.url, [samples_of(pcm(0.48))], realtime=realtime)
            took[realtime] = loop.time() - start
    assert took[True] > 0.48
    assert took[False] < took[True]


async def test_pieces_of_any_size_are_sent_as_60_ms_and_samples_survive_exactly() -> None:
    audio = np.arange(-32768, 32768, 13, dtype=np.int32)
    received: list[bytes | str] = []

    async def handler(connection: ServerConnection) -> None:
        while message := await connection.recv():
            received.append(message)
        await connection.close(1000)

    async def pieces() -> AsyncIterator[NDArray[np.float32]]:
        for piece in np.split(samples_of(audio.astype("<i2").tobytes()), [1, 7, 2000, 2000, 4000]):
            yield piece

    async with foreign_server(handler) as url:
        outcome = await stream_audio(url, pieces(), realtime=False)
    assert [len(message) for message in received] == [1920] * 5 + [2 * (len(audio) % 960)]
    assert b"".join(m for m in received if isinstance(m, bytes)) == audio.astype("<i2").tobytes()
    assert outcome == StreamOutcome("", seconds=len(audio) / 16000)


async def test_beam_partials_replace_each_other_and_finals_stay() -> None:
    async def handler(connection: ServerConnection) -> None:
        await connection.recv()
        await connection.send(response(0.0, 0.06, " and we a", True))
        await connection.recv()
        await connection.send(response(0.0, 0.12, " and we"))
        await connection.send(response(0.12, 0.12, " are", True))
        await connection.recv()
        await connection.send(response(0.12, 0.12, " are glad"))
        await connection.close(1000)

    seen: list[tuple[str, str]] = []
    async with foreign_server(handler) as url:
        outcome = await stream_audio(
            url, [np.zeros(1920, np.float32)], lambda *texts: seen.append(texts), False
        )
    assert seen == [
        ("", " and we a"),
        (" and we", ""),
        (" and we", " are"),
        (" and we are glad", ""),
    ]
    assert outcome.transcript == "and we are glad"
    assert len(outcome.latencies) == 2


async def test_no_server_is_a_clear_error() -> None:
    with pytest.raises(StreamError, match=r"ws://127\.0\.0\.1:1: no server answers .*rill serve"):
        await stream_audio("ws://127.0.0.1:1", [])


async def test_a_url_that_is_none_is_a_clear_error() -> None:
    with pytest.raises(StreamError, match="localhost:3030: no server answers"):
        await stream_audio("localhost:3030", [])


async def test_a_refusal_gives_status_and_reason() -> None:
    async with serving(ScriptedEngine(1)) as service:
        with pytest.raises(StreamError, match="refused with HTTP 400: lang is 'de'"):
            await stream_audio(f"{service.url}&lang=de", [])


async def test_a_close_that_is_not_normal_gives_its_reason_and_the_text_so_far() -> None:
    async def handler(connection: ServerConnection) -> None:
        await connection.recv()
        await connection.send(response(0.0, 0.06, " half"))
        await connection.close(1011, "out of memory")

    async with foreign_server(handler) as url:
        with pytest.raises(StreamError, match="out of memory") as raised:
            await stream_audio(url, [np.zeros(96000, np.float32)])
    assert raised.value.transcript == "half"


@pytest.mark.parametrize(
    "message", ["", "{}", '{"end":0,"is_provisional":false,"alternatives":[]}']
)
async def test_a_response_of_another_protocol_is_named(message: str) -> None:
    async def handler(connection: ServerConnection) -> None:
        await connection.recv()
        await connection.send(message)
        await connection.wait_closed()

    async with foreign_server(handler) as url:
        with pytest.raises(StreamError, match="not a response of Myrtle's API"):
            await stream_audio(url, [np.zeros(960, np.float32)])


async def test_an_error_of_the_audio_is_passed_on() -> None:
    def chunks() -> list[NDArray[np.float32]]:
        raise ValueError("broken file")

    async with serving(ScriptedEngine(1)) as service:
        with pytest.raises(ValueError, match="broken file"):
            await stream_audio(service.url, (chunk for _ in range(1) for chunk in chunks()))
        await service.until_free()


def test_percentiles_are_counted_as_the_benchmark_counts_them() -> None:
    outcome = StreamOutcome("", tuple(number / 1000 for number in range(200, 0, -1)))
    assert outcome.latency(50) == 0.101
    assert outcome.latency(99) == 0.199
    assert outcome.latency(100) == 0.2
    assert math.isnan(StreamOutcome("", ()).latency(99))
