"""rill mic: the microphone to text as you speak, in this process or by a server, until Ctrl-C."""

from __future__ import annotations

import argparse
import asyncio
import signal
import sys

from server.client.microphone import microphone_chunks
from server.client.recognition import Recognise, add_recognition_flags, recognition
from server.client.terminal import growing_line
from stream.process import reports_errors, run_main


def build_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="rill mic",
        description="Transcribe the microphone as you speak, until Ctrl-C.",
        epilog="Example: rill mic --url ws://127.0.0.1:3030",
        allow_abbrev=False,
    )
    parser.add_argument(
        "--device",
        type=int,
        metavar="N",
        help="number of the microphone; `python -m sounddevice` lists them (default: the system's)",
    )
    add_recognition_flags(parser)
    return parser


@reports_errors()
def main(argv: list[str] | None = None) -> int:
    arguments = build_parser().parse_args(argv)
    asyncio.run(_listen(recognition(arguments), arguments.device))
    return 0


async def _listen(recognise: Recognise, device: int | None) -> None:
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGINT, stop.set)
    heard = microphone_chunks(device, stop)
    print("listening; Ctrl-C ends", file=sys.stderr)
    line = growing_line(sys.stdout)
    try:
        await recognise(heard, line.show)
    finally:
        line.end()


if __name__ == "__main__":
    run_main(main)
