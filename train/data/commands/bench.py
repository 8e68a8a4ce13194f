"""Measure how fast recordings are read from mounts, folders and S3.

Credentials for S3 come from the environment (AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, ...), as boto3
finds them, or from a file. They are never printed or stored. Exit status 1: files could not be read.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

import msgspec

from stream.errors import ArgumentError
from train.data.storage.read_benchmark import Measurement, sweep
from train.data.storage.sources import S3Access, read_credentials

EXAMPLE = "--source mount=/mnt/asr-audio-data --source s3=s3://asr-audio-data/fr --workers 1,8,32"
SCHEMA = "rill.train.data.bench/1"
COLUMNS = (
    ("source", "{:<12}"),
    ("workers", "{:>8}"),
    ("files", "{:>8}"),
    ("files/s", "{:>9}"),
    ("MB/s", "{:>8}"),
    ("p50 ms", "{:>9}"),
    ("p99 ms", "{:>9}"),
    ("errors", "{:>7}"),
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of the command."""
    parser.add_argument(
        "--source",
        action="append",
        required=True,
        metavar="NAME=PLACE",
        help="a folder or s3://BUCKET/PREFIX, and what to call it; may be repeated",
    )
    parser.add_argument(
        "--workers",
        default="1,8,32",
        metavar="N,N,...",
        help="threads that read at a time, one run for each (default: %(default)s)",
    )
    parser.add_argument(
        "--files",
        type=int,
        default=500,
        metavar="N",
        help="files read in one run, drawn at random, others in every run (default: %(default)s)",
    )
    parser.add_argument(
        "--seed", type=int, default=1, metavar="N", help="of the draw (default: %(default)s)"
    )
    parser.add_argument(
        "--endpoint-url", metavar="URL", help="S3 server (default: AWS_ENDPOINT_URL, or AWS)"
    )
    parser.add_argument(
        "--credentials",
        metavar="FILE",
        help="lines NAME=VALUE: AWS's credentials file or a .env (default: the environment's)",
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object a run")


def run(arguments: argparse.Namespace) -> int:
    """Run the command; returns its exit code."""
    sources = [_named(source) for source in arguments.source]
    workers = [_positive("--workers", count) for count in arguments.workers.split(",")]
    files = _positive("--files", str(arguments.files))
    credentials = read_credentials(Path(arguments.credentials)) if arguments.credentials else {}
    access = S3Access(arguments.endpoint_url, tuple(credentials.items()), connections=max(workers))
    errors = 0
    if not arguments.json:
        print(_row([name for name, _ in COLUMNS]))
    for found in sweep(sources, workers, files, arguments.seed, access):
        errors += found.errors
        if arguments.json:
            print(json.dumps({"schema": SCHEMA, **msgspec.to_builtins(found)}), flush=True)
        else:
            print(_row(_cells(found)), flush=True)
        if found.again:
            print(
                f"{found.source}, {found.workers} workers: {found.again} files were read before and "
                "may come from a cache; give a folder of more files, or lower --files",
                file=sys.stderr,
            )
        if found.first_error:
            print(f"first error: {found.first_error}", file=sys.stderr)
    return 1 if errors else 0


def _named(source: str) -> tuple[str, str]:
    name, separator, place = source.partition("=")
    if not (separator and name and place):
        raise ArgumentError(f"--source is {source!r}; want NAME=FOLDER or NAME=s3://BUCKET/PREFIX")
    return name, place


def _positive(option: str, text: str) -> int:
    if not text.strip().isdigit() or int(text) < 1:
        raise ArgumentError(f"{option} is {text!r}; want 1 or more")
    return int(text)


def _row(cells: list[str]) -> str:
    return " ".join(
        layout.format(cell) for (_, layout), cell in zip(COLUMNS, cells, strict=True)
    ).rstrip()


def _cells(found: Measurement) -> list[str]:
    times = ["-" if value is None else f"{value:.2f}" for value in (found.p50_ms, found.p99_ms)]
    return [
        found.source,
        str(found.workers),
        str(found.files),
        f"{found.files_per_second:.1f}",
        f"{found.megabytes_per_second:.1f}",
        *times,
        str(found.errors),
    ]
