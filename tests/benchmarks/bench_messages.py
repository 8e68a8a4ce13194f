"""Processor time of the event loop per message pair: 1920 bytes in, one response out, each 60 ms.

Many connections, spread over the 60 ms, to a server in a process of its own. Three servers in one run:
ours with an engine that says nothing, and bare echo servers on aiohttp and on websockets that answer
each message with as many bytes. `extra_info` has microseconds a pair, and the ratio of ours to bare
aiohttp: what protocol, channels and counting cost on top.
"""

from __future__ import annotations

import asyncio
import multiprocessing
import resource
import time
from collections.abc import Callable, Coroutine
from contextlib import suppress
from multiprocessing.connection import Connection
from typing import Any

import pytest
import uvloop
from aiohttp import WSMsgType, web
from websockets.asyncio.server import ServerConnection, serve

from stream.engine.engine import Result
from tests.server.scripted import QUERY, ScriptedEngine, serving

CONNECTIONS = 100
SECONDS = 3.0
CHUNK_SECONDS = 0.06
STEP_SECONDS = 0.01
FRAME = bytes.fromhex("82fe0780") + bytes(4 + 1920)
UPGRADE = (
    f"GET /asr/v0.1/stream?{QUERY} HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\n"
    "Connection: Upgrade\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
    "Sec-WebSocket-Version: 13\r\n\r\n"
).encode()
RESPONSE = (
    '{"start":0.06,"end":0.12,"is_provisional":false,'
    '"alternatives":[{"transcript":"","confidence":1.0}]}'
)
Serve = Callable[[Callable[[int], Coroutine[Any, Any, None]]], Coroutine[Any, Any, None]]
microseconds: dict[str, float] = {}


class Steps(ScriptedEngine):
    """Takes as long for a step as a model does, without the interpreter's lock."""

    def tick(self) -> list[Result]:
        time.sleep(STEP_SECONDS)
        return super().tick()


async def ours(measure: Callable[[int], Coroutine[Any, Any, None]]) -> None:
    async with serving(Steps(CONNECTIONS), slots=CONNECTIONS) as service:
        await measure(service.port)


async def bare_aiohttp(measure: Callable[[int], Coroutine[Any, Any, None]]) -> None:
    async def echo(request: web.BaseRequest) -> web.StreamResponse:
        socket = web.WebSocketResponse(compress=False)
        await socket.prepare(request)
        async for message in socket:
            if message.type is WSMsgType.BINARY:
                await socket.send_str(RESPONSE)
        return socket

    loop = asyncio.get_running_loop()
    server = await loop.create_server(web.Server(echo, access_log=None), "127.0.0.1", 0)
    await measure(server.sockets[0].getsockname()[1])


async def bare_websockets(measure: Callable[[int], Coroutine[Any, Any, None]]) -> None:
    async def echo(connection: ServerConnection) -> None:
        async for _ in connection:
            await connection.send(RESPONSE)

    async with serve(echo, "127.0.0.1", 0, compression=None, ping_interval=None) as server:
        await measure(next(iter(server.sockets)).getsockname()[1])


def run_server(serve_it: Serve, pipe: Connection) -> None:
    """Serve in this process, and tell the processor time of its loop whenever asked."""

    async def measure(port: int) -> None:
        pipe.send(port)
        while await asyncio.to_thread(pipe.recv):
            usage = resource.getrusage(resource.RUSAGE_THREAD)
            pipe.send(usage.ru_utime + usage.ru_stime)

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner, suppress(EOFError):
        runner.run(serve_it(measure))


async def drive(port: int) -> tuple[int, int]:
    """Send for a while; returns how many messages were sent, and answered."""
    opened = [await asyncio.open_connection("127.0.0.1", port) for _ in range(CONNECTIONS)]
    for reader, writer in opened:
        writer.write(UPGRADE)
        assert b" 101 " in await reader.readuntil(b"\r\n\r\n")

    async def count(reader: asyncio.StreamReader) -> int:
        answered = 0
        with suppress(ConnectionError):
            while received := await reader.read(65536):
                answered += received.count(b'"start"')
        return answered

    counts = [asyncio.create_task(count(reader)) for reader, _ in opened]
    began, rounds = time.perf_counter(), round(SECONDS / CHUNK_SECONDS)
    for number in range(rounds):
        for index, (_, writer) in enumerate(opened):
            due = began + CHUNK_SECONDS * (number + index / CONNECTIONS)
            if index % 10 == 0:
                await asyncio.sleep(max(0.0, due - time.perf_counter()))
            writer.write(FRAME)
    await asyncio.sleep(0.3)
    for _, writer in opened:
        writer.transport.abort()
    return rounds * CONNECTIONS, sum(await asyncio.gather(*counts))


@pytest.mark.parametrize("serve_it", [bare_websockets, bare_aiohttp, ours])
def test_message_pair(benchmark: Any, serve_it: Serve) -> None:
    mine, theirs = multiprocessing.Pipe()
    process = multiprocessing.get_context("fork").Process(
        target=run_server, args=(serve_it, theirs)
    )
    process.start()
    try:
        port = mine.recv()
        mine.send(True)
        before = mine.recv()
        sent, answered = benchmark.pedantic(lambda: asyncio.run(drive(port)), rounds=1)
        assert answered == sent
        mine.send(True)
        microseconds[serve_it.__name__] = 1e6 * (mine.recv() - before) / sent
    finally:
        mine.send(False)
        process.join(5)
        process.kill()
    benchmark.extra_info["us_per_pair"] = round(microseconds[serve_it.__name__], 1)
    if serve_it is ours and "bare_aiohttp" in microseconds:
        ratio = microseconds["ours"] / microseconds["bare_aiohttp"]
        benchmark.extra_info["over_bare_aiohttp"] = round(ratio, 2)
