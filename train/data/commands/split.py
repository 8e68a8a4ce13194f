"""Divide a data set into several by speakers or by utterances, at random and always the same.

Which part an utterance belongs to follows from the seed and its speaker's (or its own) name alone, so a set
that grows keeps what it had where it was. Shares are therefore met on average: of utterances with
--by utterance, of speakers with --by speaker.
"""

from __future__ import annotations

import argparse
import bisect
import hashlib
import itertools
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from stream.errors import ArgumentError
from train.data.commands.reading import add_reading, read
from train.data.formats.table import FORMATS, for_output
from train.data.records.durations import with_durations
from train.data.records.record import Record, strict

EXAMPLE = "all.jsonl train.jsonl=0.9 dev.jsonl=0.05 test.jsonl=0.05"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of the command."""
    parser.add_argument("input", metavar="INPUT", help="data set")
    parser.add_argument(
        "outputs", nargs="+", metavar="FILE=SHARE", help="data sets to write; shares add up to 1"
    )
    add_reading(parser)
    parser.add_argument(
        "--by",
        choices=("speaker", "utterance"),
        default="speaker",
        help="what stays together; a speaker is in one part alone (default: %(default)s)",
    )
    parser.add_argument(
        "--seed", type=int, default=1, help="of the division (default: %(default)s)"
    )


def run(arguments: argparse.Namespace) -> int:
    """Run the command; returns its exit code."""
    names, shares = _shares(arguments.outputs)
    for number, name in enumerate(names):  # INPUT is read once for each
        records = strict(with_durations(read(arguments.input, arguments)))
        some = _of_part(records, number, shares, arguments.by, arguments.seed)
        count = FORMATS[for_output(name)].write(some, Path(name))
        print(f"{name}: {count} utterances")
    return 0


def _shares(outputs: Sequence[str]) -> tuple[list[str], list[float]]:
    names, shares = [], []
    for output in outputs:
        name, _, share = output.rpartition("=")
        try:
            shares.append(float(share))
        except ValueError:
            shares.append(-1.0)
        if not name or not 0.0 < shares[-1] <= 1.0:
            raise ArgumentError(f"{output}: wants FILE=SHARE, as in dev.jsonl=0.05")
        names.append(name)
    if abs(sum(shares) - 1.0) > 1e-6:
        raise ArgumentError(f"the shares add up to {sum(shares):g}; want 1")
    return names, shares


def _of_part(
    records: Iterable[Record], number: int, shares: Sequence[float], by: str, seed: int
) -> Iterator[Record]:
    for record in records:
        name = record.id if by == "utterance" else record.speaker
        if not name:
            raise record.error("no speaker is named; --by utterance divides without")
        if part_of(name, shares, seed) == number:
            yield record


def part_of(name: str, shares: Sequence[float], seed: int) -> int:
    """Return the number of the part that a speaker or utterance belongs to."""
    digest = hashlib.blake2b(f"{seed}/{name}".encode(), digest_size=8).digest()
    place = int.from_bytes(digest, "big") / 2**64
    ends = list(itertools.accumulate(shares))
    return min(bisect.bisect_right(ends, place), len(shares) - 1)
