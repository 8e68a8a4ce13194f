"""python -m server.client: stream recordings or the microphone to a server and watch the text grow.

On a terminal the text appears as it comes; elsewhere each recording gives one line. Transcripts go
to stdout, everything else to stderr. The stream itself is `server.client.stream`.
"""

from __future__ import annotations

import argparse
import asyncio
import signal
import sys
from pathlib import Path

from server.client.microphone import microphone_chunks
from server.client.stream import DEFAULT_URL, Chunks, StreamError, StreamOutcome, stream_audio
from server.client.terminal import LiveText
from stream.audio import AudioError, read_chunks
from stream.process import reports_errors, run_main

STANDARD_INPUT = Path("/dev/stdin")


def build_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m server.client",
        description="Stream recordings or the microphone to a server; show the text as it grows.",
        epilog="Example: python -m server.client speech.wav --url ws://127.0.0.1:3030",
        allow_abbrev=False,
    )
    parser.add_argument(
        "files",
        nargs="*",
        type=Path,
        metavar="FILE",
        help="recordings (WAV, FLAC, Ogg, MP3, ...), of any sample rate and channel count; - is "
        "standard input, which as WAV is streamed as it comes",
    )
    parser.add_argument("--mic", action="store_true", help="stream the microphone until Ctrl-C")
    parser.add_argument(
        "--device",
        type=int,
        metavar="N",
        help="number of the microphone; `python -m sounddevice` lists them (default: the system's)",
    )
    parser.add_argument(
        "--url", default=DEFAULT_URL, metavar="U", help=f"server (default: {DEFAULT_URL})"
    )
    parser.add_argument(
        "--fast",
        action="store_true",
        help="send recordings as fast as the server takes them (default: in real time)",
    )
    return parser


@reports_errors()
def main(argv: list[str] | None = None) -> int:
    parser = build_parser()
    arguments = parser.parse_args(argv)
    if arguments.mic == bool(arguments.files):
        parser.error("name recordings, or give --mic")
    if arguments.device is not None and not arguments.mic:
        parser.error("--device goes with --mic")
    try:
        if arguments.mic:
            asyncio.run(_stream_microphone(arguments.url, arguments.device))
        else:
            for path in arguments.files:
                asyncio.run(_stream_file(arguments.url, path, realtime=not arguments.fast))
    except StreamError as error:
        if error.transcript and not sys.stdout.isatty():
            print(error.transcript)
        raise
    return 0


async def _stream_file(url: str, path: Path, *, realtime: bool) -> None:
    if path == Path("-"):
        path = STANDARD_INPUT
    print(f"{path}:", file=sys.stderr)
    await _stream(url, read_chunks(path), realtime=realtime)


async def _stream_microphone(url: str, device: int | None) -> None:
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGINT, stop.set)
    print("listening; Ctrl-C ends", file=sys.stderr)
    await _stream(url, microphone_chunks(device, stop), realtime=False)


async def _stream(url: str, chunks: Chunks, *, realtime: bool) -> None:
    if sys.stdout.isatty():
        live = LiveText(sys.stdout)
        try:
            outcome = await stream_audio(url, chunks, live.show, realtime)
        finally:
            live.end()
    else:
        said = ""

        def keep(final: str, provisional: str) -> None:
            nonlocal said
            said = final.strip()

        try:
            outcome = await stream_audio(url, chunks, keep, realtime)
        except AudioError:  # found after audio that was recognised
            print(said, end="\n" if said else "", flush=True)
            raise
        print(outcome.transcript, flush=True)
    _report(outcome, realtime)


def _report(outcome: StreamOutcome, realtime: bool) -> None:
    if outcome.latencies and realtime:
        print(
            f"CL50 {1000 * outcome.latency(50):.1f} ms, CL99 {1000 * outcome.latency(99):.1f} ms "
            f"over {len(outcome.latencies)} chunks of 60 ms",
            file=sys.stderr,
        )


if __name__ == "__main__":
    run_main(main)
