"""What the commands have in common: which data sets they read, and progress on stderr."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TypeVar

from train.data.formats.table import FORMATS, read_records
from train.data.records.record import Read

T = TypeVar("T")
EVERY_SECONDS = 2.0


def add_reading(parser: argparse.ArgumentParser) -> None:
    """Declare how data sets are read."""
    parser.add_argument(
        "--format",
        choices=FORMATS,
        help="format of INPUT (default: detected from its content)",
    )
    parser.add_argument(
        "--root",
        metavar="DIR",
        help="folder that relative paths are relative to (default: the format's)",
    )


def read(path: str, arguments: argparse.Namespace) -> Read:
    """Yield the records of a data set, counted on stderr."""
    root = Path(arguments.root) if arguments.root else None
    return counted(read_records(path, arguments.format, root), path)


def counted(items: Iterable[T], name: str) -> Iterator[T]:
    """Yield items and say every two seconds, and at the end, how many there were."""
    begin = said = time.monotonic()
    count = 0
    for item in items:
        yield item
        count += 1
        if count % 256 == 0 and (now := time.monotonic()) - said >= EVERY_SECONDS:
            said = now
            print(f"{name}: {count} utterances, {_rate(count, begin)}", file=sys.stderr)
    if said > begin:
        print(f"{name}: {count} utterances, {_rate(count, begin)}", file=sys.stderr)


def _rate(count: int, begin: float) -> str:
    return f"{count / max(time.monotonic() - begin, 1e-9):.0f} a second"
