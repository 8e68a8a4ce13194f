"""Check archives of corpora against the sums that their publishers give; nothing is downloaded.

Known are those of LibriSpeech, Mini LibriSpeech and Speech Commands; others are given by --sum or --sums. Exit status 1:
an archive is not what was published.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from stream.errors import ArgumentError, InputError
from train.data.corpora.sums import PUBLISHED, Sum, read_sums, sum_of

EXAMPLE = "mls_french.tar.gz --sums md5sum.txt"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of the command."""
    parser.add_argument("archives", nargs="+", metavar="ARCHIVE", help="as it was downloaded")
    parser.add_argument(
        "--sum",
        metavar="HEX",
        help="of the one archive, as its page shows it: MD5, SHA-1, SHA-256 or SHA-512, told by its length",
    )
    parser.add_argument(
        "--sums",
        metavar="FILE",
        help="a list as md5sum or sha256sum writes it, in which archives are found by their names",
    )


def run(arguments: argparse.Namespace) -> int:
    """Run the command; returns its exit code."""
    if arguments.sum is not None and len(arguments.archives) > 1:
        raise ArgumentError(f"--sum is of one archive, and there are {len(arguments.archives)}")
    listed = {} if arguments.sums is None else read_sums(Path(arguments.sums))
    given = None if arguments.sum is None else Sum(arguments.sum.lower(), "--sum")
    paths = [Path(archive) for archive in arguments.archives]
    wanted = {path: given or listed.get(path.name) or PUBLISHED.get(path.name) for path in paths}
    for path, published in wanted.items():
        if not path.is_file():
            raise InputError(f"{path}: no such file")
        if published is None:
            raise ArgumentError(
                f"{path}: no sum of an archive of this name is known. Take it from where it was downloaded: --sum "
                "or --sums"
            )
    differs = False
    for path, published in wanted.items():
        assert published is not None
        found = sum_of(path, published.algorithm)
        if found == published.figures:
            print(f"{path}: {published.algorithm} {found}, as {published.source} says")
        else:
            differs = True
            print(
                f"{path}: {published.algorithm} is {found}, {published.source} says {published.figures}. Download it "
                "again",
                file=sys.stderr,
            )
    return int(differs)
