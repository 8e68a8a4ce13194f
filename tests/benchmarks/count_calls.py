"""`python -m tests.benchmarks.count_calls`: the Python calls that a silent chunk makes in the server.

    python -m tests.benchmarks.count_calls --streams 32 --verbose

A server in this process, with the bundled model and a worker in a thread, answers chunks of noise
that say nothing, all streams at once. Calls of functions in `server/` and `stream/` are counted by
`sys.setprofile`: how many a chunk makes, how often one lies in another file than the call before, and
in how many files they lie. Unlike CPU time these figures are the same on any machine, however busy.
"""

from __future__ import annotations

import argparse
import asyncio
import collections
import sys
import threading
from pathlib import Path
from types import FrameType
from typing import Any

import numpy as np

from stream.bundled import model_path
from stream.encoders.lstm import LSTM
from stream.engine.engine import load_engine
from tests.places import REPOSITORY
from tests.server.scripted import QUERY, UPGRADE, serving

CHUNK = LSTM.chunk_samples

COUNTED = tuple(str(REPOSITORY / package) for package in ("server", "stream"))
NOISE = np.random.default_rng(0).normal(0.0, 30.0, CHUNK).astype("<i2").tobytes()
FRAME = bytes.fromhex("82fe0780") + bytes(4) + NOISE  # masked with zeros
REQUEST = "\r\n".join(
    [f"GET /asr/v0.1/stream?{QUERY} HTTP/1.1", "Host: localhost", *UPGRADE, "", ""]
)
WARM_UP, ROUNDS = 5, 20


class Calls:
    """The calls of one thread, while `on`."""

    def __init__(self) -> None:
        self.on = False
        self.made: list[tuple[str, str]] = []  # file and function of each

    def profile(self, frame: FrameType, event: str, argument: Any) -> None:
        """Note a call; for `sys.setprofile`."""
        if self.on and event == "call" and frame.f_code.co_filename.startswith(COUNTED):
            self.made.append((frame.f_code.co_filename, frame.f_code.co_qualname))

    def report(self, name: str, chunks: int, verbose: bool) -> str:
        """Return figures for each of some chunks."""
        files = [file for file, _ in self.made]
        changes = sum(a != b for a, b in zip(files, files[1:], strict=False))
        lines = [
            f"{name}: {len(files) / chunks:.1f} calls, {changes / chunks:.1f} changes of file, "
            f"{len(set(files))} files"
        ]
        if verbose:
            for (file, function), count in collections.Counter(self.made).most_common():
                place = Path(file).relative_to(REPOSITORY)
                lines.append(f"{count / chunks:8.2f} {place} {function}")
        return "\n".join(lines)


async def count(streams: int, loop: Calls, worker: Calls) -> None:
    """Stream noise and count the calls after some chunks."""
    threading.setprofile(worker.profile)  # the worker's thread starts below
    engine = load_engine(model_path(), streams, "int8")
    async with serving(engine, slots=streams) as service:
        threading.setprofile(None)
        opened = [await asyncio.open_connection("127.0.0.1", service.port) for _ in range(streams)]
        for reader, writer in opened:
            writer.write(REQUEST.encode())
            await reader.readuntil(b"\r\n\r\n")
        sys.setprofile(loop.profile)
        for number in range(WARM_UP + ROUNDS):
            loop.on = worker.on = number >= WARM_UP
            for _, writer in opened:
                writer.write(FRAME)
            for reader, _ in opened:
                size = (await reader.readexactly(2))[1]
                await reader.readexactly(size)
        loop.on = worker.on = False
        sys.setprofile(None)
        for _, writer in opened:
            writer.close()


def main(argv: list[str] | None = None) -> int:
    """Count and print."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--streams", type=int, default=32, help="in one step (default: 32)")
    parser.add_argument("--verbose", action="store_true", help="list the functions")
    arguments = parser.parse_args(argv)
    loop, worker = Calls(), Calls()
    asyncio.run(count(arguments.streams, loop, worker))
    for name, calls in (("event loop", loop), ("worker", worker)):
        print(calls.report(name, ROUNDS * arguments.streams, arguments.verbose))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
