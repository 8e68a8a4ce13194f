"""python -m server.load: load a server with live streams and report what they got.

The report goes to stdout, one line for each number of streams; progress to stderr. With --find-rts
the last line says how many streams held. What is measured, and when a number of streams holds, is
at the top of `server/load/point.py`; how it is measured, at the top of `server/load/run.py`.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import math
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import uvloop

from server.load.dialects import DIALECTS
from server.load.point import Point, holds
from server.load.recordings import TimedRecording, joined, read_recordings
from server.load.search import find_rts
from server.processes import listeners, machine
from stream.files.atomic import replace_json
from stream.process import reports_errors, run_main
from stream.progress import show_line

if TYPE_CHECKING:
    from server.load.run import Setup

SCHEMA = "rill.load/1"
PICTURES = (".svg", ".png")


def build_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="rill load",
        description="Load a server with live streams; report compute latency (CL) of each 60 ms, "
        "user-perceived latency (UPL) of words, lost and changed words, CPU and memory. Needs the "
        "extra `load`.",
        epilog="Examples: rill load --concurrent 50 --duration 20 --perpetual *.flac; "
        "rill load --find-rts --cl99-ms 60 --json rts.json --plot rts.svg dev.jsonl",
        allow_abbrev=False,
    )
    add = parser.add_argument
    add(
        "files",
        nargs="+",
        type=Path,
        metavar="FILE",
        help="recordings of any format, or .jsonl manifests of them",
    )
    add("--url", metavar="U", help="server (default: this machine, the protocol's usual port)")
    add(
        "--protocol",
        choices=sorted(DIALECTS),
        default="myrtle",
        help="what the server speaks (default: myrtle)",
    )
    add(
        "--concurrent",
        type=_counts,
        default=(8,),
        metavar="N[,N...]",
        help="streams at a time, one measurement each; where --find-rts begins (default: 8)",
    )
    add(
        "--duration",
        type=_positive,
        default=20.0,
        metavar="S",
        help="seconds of a measurement, ramp-up excluded (default: 20)",
    )
    add(
        "--perpetual",
        action="store_true",
        help="play the recordings over and over for that time (default: until each was played "
        "and each stream has played one)",
    )
    add(
        "--stream-seconds",
        type=_positive,
        default=0.0,
        metavar="S",
        help="let a stream play recordings one after another until it has lasted so long (default: "
        "one recording a stream)",
    )
    add(
        "--find-rts",
        action="store_true",
        help="search for the largest number of streams that holds; implies --perpetual",
    )
    add(
        "--cl99-ms",
        type=_positive,
        default=60.0,
        metavar="MS",
        help="99th percentile of compute latency that still holds, ms (default: 60)",
    )
    add(
        "--ctm",
        type=Path,
        metavar="F",
        help="times of the words, for UPL: `file channel start duration word confidence` a line "
        "(default: the end of energy where a manifest's transcript is a single word)",
    )
    add(
        "--server-pid",
        type=int,
        metavar="P",
        help="process whose CPU and memory are reported (default: what listens there, if local)",
    )
    add("--json", type=Path, metavar="F", help="write everything that was measured as JSON")
    add("--plot", type=Path, metavar="F", help="draw latency over streams, as .svg or .png")
    return parser


@reports_errors()
def main(argv: list[str] | None = None) -> int:
    parser = build_parser()
    arguments = parser.parse_args(argv)
    if arguments.plot and arguments.plot.suffix not in PICTURES:
        parser.error(f"--plot is {arguments.plot}; it has to end in {' or '.join(PICTURES)}")
    if arguments.plot and not arguments.find_rts and len(arguments.concurrent) < 2:
        parser.error("--plot needs a curve: --find-rts, or --concurrent with several numbers")
    if arguments.find_rts and len(arguments.concurrent) > 1:
        parser.error("--find-rts begins with one number of streams; --concurrent gives several")
    for path in (arguments.json, arguments.plot):
        if path and not path.parent.is_dir():  # said before an hour of measuring, not after it
            parser.error(f"{path} cannot be written: there is no folder {path.parent}")
    from server.load.player import LoadError, Refused

    if arguments.plot:  # what it needs is found missing before an hour of measuring, not after it
        import server.load.plot  # noqa: F401
    recordings = read_recordings(arguments.files, arguments.ctm)
    if arguments.stream_seconds:
        recordings = joined(recordings, arguments.stream_seconds)
    try:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            return runner.run(_measure(arguments, recordings))
    except Refused as error:
        raise LoadError(f"not even one stream was taken (HTTP 503): {error}") from error


async def _measure(arguments: argparse.Namespace, recordings: list[TimedRecording]) -> int:
    from server.load.run import Setup, prepare, run

    dialect = DIALECTS[arguments.protocol]
    url = arguments.url or dialect.default_url
    tracks, ahead = await prepare(url, dialect, recordings, show_line)
    setup = Setup(
        url=url,
        dialect=dialect,
        tracks=tracks,
        ahead=ahead,
        seconds=arguments.duration,
        perpetual=arguments.perpetual or arguments.find_rts,
        pids=(arguments.server_pid,) if arguments.server_pid else listeners(url),
    )
    gc.collect()
    gc.freeze()  # the recordings: no collection need look at them while others wait

    async def measure(streams: int) -> Point:
        # Each run has phases of its own.
        return await run(replace(setup, seed=streams), streams, show_line)

    def on_point(point: Point, held: bool) -> None:
        show_line("")
        print(_line(point, held), flush=True)

    if arguments.find_rts:
        first = arguments.concurrent[0]
        best, curve = await find_rts(measure, arguments.cl99_ms, first, on_point)
        rts = best.streams if best else 0
        print(f"RTS {rts}: the most streams with CL99 of at most {arguments.cl99_ms:g} ms")
        stated = best or curve[0]
    else:
        rts, curve = None, []
        for streams in arguments.concurrent:
            curve.append(await measure(streams))
            on_point(curve[-1], holds(curve[-1], arguments.cl99_ms))
        stated = curve[-1]
    if arguments.json:
        replace_json(arguments.json, _report(arguments, setup, rts, stated, curve))
    if arguments.plot:
        from server.load.plot import draw

        title = f"Compute latency over load, {datetime.now(UTC):%Y-%m-%d}, {machine()}"
        draw(curve, arguments.plot, rts=rts, cl99_ms=arguments.cl99_ms, title=title)
    # In a search refusals are how it ends; what counts is the point that is stated.
    bad = [stated] if arguments.find_rts else curve
    return int(rts == 0 or any(p.words_differ or p.failed or p.refused for p in bad))


def _line(point: Point, held: bool) -> str:
    """Return a point as a line of the report."""
    streams = f"{point.streams:5d} streams"
    if point.refused is not None:
        return f"{streams}  refused with HTTP 503: {point.refused}"
    parts = [streams, f"CL50/90/99 {_numbers(point.cl50_ms, point.cl90_ms, point.cl99_ms)} ms"]
    if point.upl_words:
        parts.append(f"UPL50/90/99 {_numbers(point.upl50_ms, point.upl90_ms, point.upl99_ms)} ms")
    if point.server_cpu is not None:
        parts.append(f"server {point.server_cpu:.2f} cores {point.server_memory_mb:.0f} MB")
    parts.append(f"client {point.client_cpu:.2f} cores, {_numbers(point.late99_ms)} ms late")
    parts.append(f"words {point.words} lost {point.lost_words} changed {point.changed_words}")
    if point.failed:
        parts.append(f"{point.failed} streams failed, the first: {point.failure}")
    if point.backlog_grows:
        parts.append(f"backlog grows, {point.backlog:.1f} chunks a stream")
    parts.append("holds" if held else "does not hold")
    return "  ".join(parts)


def _numbers(*values: float | None) -> str:
    return "/".join("-" if value is None else f"{value:.1f}" for value in values)


def _report(
    arguments: argparse.Namespace, setup: Setup, rts: int | None, stated: Point, curve: list[Point]
) -> dict[str, Any]:
    """Return all that was measured; the figures on top are those at RTS, or of the last run."""
    return {
        "schema": SCHEMA,
        "date": f"{datetime.now(UTC):%Y-%m-%dT%H:%MZ}",
        "machine": machine(),
        "protocol": arguments.protocol,
        "url": setup.url,
        "recordings": len(setup.tracks),
        "audio_seconds": round(sum(track.recording.seconds for track in setup.tracks), 1),
        "duration": arguments.duration,
        "cl99_limit_ms": arguments.cl99_ms,
        "rts": rts,
        **msgspec.to_builtins(stated),
        "curve": [
            {**msgspec.to_builtins(point), "holds": holds(point, arguments.cl99_ms)}
            for point in curve
        ],
    }


def _counts(text: str) -> tuple[int, ...]:
    parts = text.split(",")
    if not all(part.isdecimal() and int(part) > 0 for part in parts):
        raise argparse.ArgumentTypeError(f"{text!r} is not N or N,N,...; want numbers of 1 or more")
    return tuple(map(int, parts))


def _positive(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not (math.isfinite(value) and value > 0):
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of more than 0")
    return value


if __name__ == "__main__":
    run_main(main)
