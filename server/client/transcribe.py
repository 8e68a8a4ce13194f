"""rill transcribe: recordings to text, captions or timed words, in this process or by a server.

One recording is shown as it is recognised, on a terminal and in a pipe. Of several a broken one is named,
the others are transcribed, and the status is 1. Transcripts go to stdout, everything else to stderr.
"""

from __future__ import annotations

import argparse
import asyncio
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import NoReturn

from server.client.batch import Batch
from server.client.inputs import Input, check_targets, find
from server.client.recognition import add_recognition_flags, recognition
from stream.audio import read_chunks
from stream.audio.pcm import read_pcm
from stream.process import reports_errors, run_main
from stream.stage import Floats
from stream.transcripts.formats import FORMATS, JOINED, suffix_of


def build_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="rill transcribe",
        description="Transcribe recordings of any sample rate and channel count: WAV, FLAC, Ogg, MP3, ... "
        "and with the extra `media` m4a, mp4, webm, ...",
        epilog="Examples: rill transcribe talk.flac; rill transcribe recordings/ --format srt --output "
        "captions/; ffmpeg -i talk.m4a -f wav - | rill transcribe -. Of several recordings, those that "
        "cannot be read are left out and listed at the end, and the status is 1.",
        allow_abbrev=False,
    )
    parser.add_argument(
        "inputs",
        nargs="+",
        metavar="FILE",
        help="a recording, a folder of them, or a pattern such as 'calls/**/*.wav'; - is standard "
        "input, of which WAV, --raw and FLAC, and with `media` Ogg, MP3, WebM, AAC and fragmented MPEG-4, are "
        "transcribed as they come",
    )
    parser.add_argument(
        "--format",
        choices=FORMATS,
        default="text",
        help="text; json and jsonl, with segments and timed words; captions in srt or vtt; or the times "
        "of words in ctm (default: text)",
    )
    parser.add_argument(
        "--output",
        type=Path,
        metavar="DIR",
        help="folder to write a file for each recording to; it is made (default: standard output)",
    )
    parser.add_argument(
        "--raw",
        type=int,
        metavar="RATE",
        help="the recordings have no header: signed 16 bits, little-endian, mono, of this rate in Hz",
    )
    add_recognition_flags(parser)
    parser.add_argument(
        "--realtime",
        action="store_true",
        help="with --url: send recordings at the pace of a microphone, and report how long the server "
        "takes to answer a chunk (default: as fast as the server takes them)",
    )
    return parser


@reports_errors()
def main(argv: list[str] | None = None) -> int:
    parser = build_parser()
    arguments = parser.parse_args(argv)
    if arguments.realtime and arguments.url is None:
        parser.error("--realtime goes with --url")
    inputs = find(arguments.inputs)
    if arguments.output:
        check_targets(inputs, arguments.output, suffix_of(arguments.format))
    elif len(inputs) > 1 and arguments.format not in JOINED:
        parser.error(
            f"--format {arguments.format} of several recordings is a file for each: give --output DIR"
        )
    batch = Batch(
        recognition(arguments, realtime=arguments.realtime),
        lambda recording: _chunks(recording, arguments.raw),
        arguments.format,
        arguments.output,
        latencies=arguments.realtime,
    )
    signal.signal(signal.SIGINT, _interrupt)
    return asyncio.run(batch.run(inputs))


def _interrupt(*_: object) -> NoReturn:
    """End at once: asyncio's own handler would wait for a read from a pipe."""
    raise KeyboardInterrupt


def _chunks(recording: Input, rate: int | None) -> Iterator[Floats]:
    return read_chunks(recording.path) if rate is None else read_pcm(recording.path, rate)


if __name__ == "__main__":
    run_main(main)
