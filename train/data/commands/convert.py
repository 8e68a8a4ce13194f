"""Write a data set in another format, utterance by utterance.

Recordings stay where they are and are named by their paths, unless the format holds recordings itself or
--audio asks for copies. Nothing is opened that need not be.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

from stream.manifest import ManifestError
from train.data.commands.reading import add_reading, read
from train.data.formats import shards
from train.data.formats.table import FORMATS, for_output
from train.data.records.durations import with_durations
from train.data.records.extract import extracted
from train.data.records.record import Record, strict

EXAMPLE = "train.jsonl cuts_train.jsonl.gz"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of the command."""
    parser.add_argument("input", metavar="INPUT", help="file or folder; shards as a-{000..099}.tar")
    parser.add_argument("output", metavar="OUTPUT", help="file or folder to write")
    add_reading(parser)
    parser.add_argument(
        "--to",
        choices=FORMATS,
        help="format of OUTPUT (default: detected from its name: "
        + ", ".join(name for found in FORMATS.values() for name in found.names)
        + ", cuts in the name of a .jsonl)",
    )
    parser.add_argument(
        "--audio",
        metavar="DIR",
        help="new folder for copies of the recordings; a part of one, or a mix, is written as it is "
        "heard, in FLAC of 16 kHz",
    )
    parser.add_argument(
        "--measure",
        action="store_true",
        help="open every recording for its duration and rate; otherwise only those whose duration "
        "INPUT does not give, and cuts say 16 kHz where INPUT says no sampling_rate",
    )
    parser.add_argument(
        "--on-error",
        choices=("refuse", "skip"),
        default="refuse",
        help="what is done with an utterance that cannot be used: the command ends and writes nothing, "
        "or it is left out and shown (default: %(default)s)",
    )
    parser.add_argument(
        "--min-characters",
        type=int,
        default=0,
        metavar="N",
        help="leave out utterances whose transcript has fewer characters (default: %(default)s)",
    )


def run(arguments: argparse.Namespace) -> int:
    """Run the command; returns its exit code."""
    name, output = arguments.to or for_output(arguments.output), Path(arguments.output)
    found = with_durations(read(arguments.input, arguments), every=arguments.measure)
    skipped: list[ManifestError] = []
    records = strict(found) if arguments.on_error == "refuse" else _without_bad(found, skipped)
    short: list[str] = []
    if arguments.min_characters > 0:
        records = _without_short(records, arguments.min_characters, short)
    if arguments.audio:
        records = extracted(records, Path(arguments.audio))
    count = FORMATS[name].write(records, output)
    if name == "shards":
        output = shards.written(output, count)
    left_out = f", {len(skipped)} left out" if skipped else ""
    too_short = f", {len(short)} too short" if short else ""
    print(f"{output}: {count} utterances{left_out}{too_short}")
    return 0


def _without_bad(
    found: Iterable[Record | ManifestError], skipped: list[ManifestError]
) -> Iterator[Record]:
    for each in found:
        if isinstance(each, Record):
            yield each
        else:
            print(each, file=sys.stderr)
            skipped.append(each)


def _without_short(records: Iterable[Record], least: int, short: list[str]) -> Iterator[Record]:
    for record in records:
        if len(record.text) >= least:
            yield record
        else:
            short.append(record.id)
