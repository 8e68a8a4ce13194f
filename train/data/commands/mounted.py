"""Say whether a folder is a mount, of what, and whether recordings can be read from it.

With a manifest or a file of cuts it also samples lines, and says whether their recordings lie in the folder
and are there. Exit status 1: something is not as it should be, one sentence each.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from stream.errors import ArgumentError
from train.data.storage.mounts import inspect_mount

EXAMPLE = "/mnt/asr-audio-data --cuts msr_cuts_French_train.jsonl.gz"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of the command."""
    parser.add_argument("folder", metavar="FOLDER", help="where it should be mounted")
    parser.add_argument(
        "--cuts",
        metavar="FILE",
        help="JSON lines that name recordings: manifest or Lhotse's cuts, also .gz",
    )
    parser.add_argument(
        "--lines",
        type=int,
        default=100,
        metavar="N",
        help="sampled from FILE, evenly; from the first 100000 lines of a .gz (default: %(default)s)",
    )


def run(arguments: argparse.Namespace) -> int:
    """Run the command; returns its exit code."""
    if arguments.lines < 1:
        raise ArgumentError(f"--lines is {arguments.lines}; want 1 or more")
    cuts = Path(arguments.cuts) if arguments.cuts else None
    report = inspect_mount(Path(arguments.folder), cuts, arguments.lines)
    for fact in report.facts:
        print(fact)
    for fault in report.faults:
        print(fault, file=sys.stderr)
    return 1 if report.faults else 0
