"""Make manifests of a published corpus from its original layout.

Results and the licence go to stdout, faulty recordings to stderr and to OUTPUT/left-out.tsv.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from pathlib import Path

from stream.errors import ArgumentError
from train.data.corpora.catalogue import CORPORA
from train.data.corpora.layout import LayoutError, PublishedCorpus
from train.data.preparation import LEFT_OUT, Prepared, prepare, read_list

EXAMPLE = "commonvoice cv-corpus-17.0-2024-03-15/fr --output data/cv-fr --duplicates 3"
TOLD_EVERY = 10_000  # recordings


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of the command."""
    parser.add_argument("corpus", choices=CORPORA, help="which one")
    parser.add_argument("folder", metavar="FOLDER", help="where it was unpacked")
    parser.add_argument(
        "--output",
        metavar="FOLDER",
        help="where train.jsonl, dev.jsonl, ... are written (default: the corpus's folder)",
    )
    parser.add_argument(
        "--allow",
        type=float,
        default=0.0,
        metavar="SHARE",
        help="share of recordings, 0 to 1, that may be missing or faulty and is left out; with more "
        "nothing is written (default: %(default)s)",
    )
    parser.add_argument(
        "--duplicates",
        type=int,
        metavar="N",
        help="at most N recordings of one sentence in the training set; of Common Voice the set is then "
        "what is validated and shares neither speaker nor sentence with dev and test (default: as "
        "published)",
    )
    parser.add_argument(
        "--skip",
        action="append",
        default=[],
        metavar="PATTERN",
        help="leave out recordings whose path in FOLDER fits, as in '*/answers/*'; may be repeated",
    )
    parser.add_argument(
        "--only",
        metavar="FILE",
        help="take only the recordings that this file lists, a line `SET PATH` each, with paths in FOLDER",
    )
    parser.add_argument(
        "--workers",
        type=int,
        default=8,
        metavar="N",
        help="headers read at a time (default: %(default)s)",
    )


def run(arguments: argparse.Namespace) -> int:
    """Run the command; returns its exit code."""
    for name, fits, wanted in (
        ("allow", 0.0 <= arguments.allow <= 1.0, "0 to 1"),
        ("duplicates", arguments.duplicates is None or arguments.duplicates >= 1, "1 or more"),
        ("workers", arguments.workers >= 1, "1 or more"),
    ):
        if not fits:
            raise ArgumentError(f"--{name} is {getattr(arguments, name)}; want {wanted}")
    corpus = CORPORA[arguments.corpus]
    output = Path(arguments.output or arguments.folder)
    try:
        prepared = prepare(
            arguments.corpus,
            corpus,
            Path(arguments.folder),
            output,
            allow=arguments.allow,
            duplicates=arguments.duplicates,
            skip=arguments.skip,
            only=read_list(Path(arguments.only)) if arguments.only else None,
            workers=arguments.workers,
            progress=_teller(),
        )
    except LayoutError as error:
        raise LayoutError(f"{error}\n{corpus.title} is read from {corpus.layout}") from error
    _print(prepared, corpus, output)
    return 0


def _teller() -> Callable[[int], None]:
    told = 0

    def tell(seen: int) -> None:
        nonlocal told
        if seen - told >= TOLD_EVERY:
            told = seen
            print(f"{seen} recordings looked at", file=sys.stderr)

    return tell


def _print(prepared: Prepared, corpus: PublishedCorpus, output: Path) -> None:
    for name, found in sorted(prepared.sets.items()):
        speakers = f"{len(found.speakers)} speakers" if found.speakers else "speakers not named"
        print(
            f"{output / name}.jsonl: {found.recordings} recordings, {found.seconds / 3600:.2f} h, "
            f"{speakers}"
        )
    for count, why in (
        (prepared.faults, f"faulty: see {output / LEFT_OUT}"),
        (prepared.repeated, "of a sentence that is there often enough"),
        (prepared.skipped, "by --skip"),
    ):
        if count:
            print(f"left out: {count} {why}", file=sys.stderr)
    if prepared.listed:
        print(
            f"not found: {len(prepared.listed)} recordings that --only lists, such as "
            f"{min(prepared.listed)}",
            file=sys.stderr,
        )
    print(f"{corpus.title}, {corpus.source}\nlicence: {corpus.licence}")
    if set(prepared.sets) == {"train"}:
        print(f"{corpus.title} has no dev or test set: rill data split", file=sys.stderr)
