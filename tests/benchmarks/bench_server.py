"""A server under load, bundled model: what a stream costs, alone and among many.

The server runs as a process of its own and the load client in this one, on the same cores. `extra_info`
has CL99, the server's CPU in milliseconds a second and stream, its memory, and CPU and memory a stream over
those with the fewest streams: where a stream costs the same among many, the former is below 1 (batches
cost less) and the latter falls to what a channel holds.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest

from server.demo import running_server
from stream.bundled import recordings

pytest.importorskip("picows", reason="pip install 'rill-asr[load]'")

from server.load.dialects import DIALECTS
from server.load.point import Point
from server.load.recordings import read_recordings
from server.load.run import Setup, prepare, run
from server.processes import listeners

SECONDS = 6.0
STREAMS = (10, 50, 100, 200)
points: dict[int, Point] = {}


@pytest.fixture(scope="module")
def setup() -> Iterator[Setup]:
    with running_server("--slots", "256") as address:
        url = address.partition("/asr")[0]
        dialect = DIALECTS["myrtle"]
        heard = read_recordings([utterance.audio for utterance in recordings()])
        tracks, ahead = asyncio.run(prepare(url, dialect, heard))
        yield Setup(
            url=url,
            dialect=dialect,
            tracks=tracks,
            ahead=ahead,
            seconds=SECONDS,
            perpetual=True,
            pids=listeners(url),
        )


@pytest.mark.parametrize("streams", STREAMS)
def test_streams(benchmark: Any, setup: Setup, streams: int) -> None:
    point = benchmark.pedantic(lambda: asyncio.run(run(setup, streams)), rounds=1)
    assert not point.failed and point.refused is None and not point.words_differ
    points[streams] = point
    assert point.server_cpu is not None and point.server_memory_mb is not None
    benchmark.extra_info |= {
        "cl99_ms": point.cl99_ms,
        "cpu_ms_a_stream": round(1e3 * point.server_cpu / streams, 2),
        "memory_mb": round(point.server_memory_mb),
    }
    fewest = points.get(STREAMS[0])
    if fewest is not None and streams > STREAMS[0] and fewest.server_cpu:
        ratio = point.server_cpu / streams / (fewest.server_cpu / STREAMS[0])
        benchmark.extra_info["cpu_a_stream_over_few"] = round(ratio, 2)
        grown = point.server_memory_mb - (fewest.server_memory_mb or 0.0)
        benchmark.extra_info["memory_kb_a_further_stream"] = round(
            1e3 * grown / (streams - STREAMS[0])
        )
