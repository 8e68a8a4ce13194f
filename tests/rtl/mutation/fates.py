"""What becomes of mutants: they are tried side by side, survivors are printed, fates counted.

A file beside each set of mutants lists those that no input tells from the source: a reason, and the names it is true of.
"""

from __future__ import annotations

import argparse
import collections
import os
import resource
import sys
import tomllib
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from tests.export.hardware.mutation import Mutant

__all__ = ["EQUIVALENT", "SURVIVES", "build_parser", "equivalents", "judge", "limit", "report"]

EQUIVALENT, SURVIVES = "equivalent", "survives"
BYTES = 1 << 25  # of a file that a mutant writes
PROGRESS = 50  # mutants, after which a line says how far it is


def limit(seconds: int) -> None:
    """Keep the process of a mutant from filling the disk, and from running for ever."""
    resource.setrlimit(resource.RLIMIT_CPU, (seconds, seconds))
    resource.setrlimit(resource.RLIMIT_FSIZE, (BYTES, BYTES))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def equivalents(listed: Path) -> dict[str, str]:
    """Return the mutants that no input tells from the source, and why."""
    with listed.open("rb") as file:
        return {name: reason for reason, names in tomllib.load(file).items() for name in names}


def build_parser(prog: str, description: str) -> argparse.ArgumentParser:
    """Return a parser of what `judge` and `chosen` take."""
    parser = argparse.ArgumentParser(prog=prog, description=description, allow_abbrev=False)
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, metavar="N")
    parser.add_argument("--only", default="", metavar="TEXT", help="mutants whose name has it")
    parser.add_argument("--every", type=int, default=1, metavar="N", help="only each Nth")
    parser.add_argument(
        "--from", type=int, default=0, dest="begin", metavar="N", help="leave out the first N"
    )
    parser.add_argument(
        "--unlisted", action="store_true", help="leave out those that are listed as equivalent"
    )
    return parser


def judge(
    made: Iterable[Mutant],
    fate: Callable[[Mutant], str],
    known: Path,
    arguments: argparse.Namespace,
) -> int:
    """Try the chosen ones of some mutants; print who survives and how many met which fate.

    Args:
        known: file that lists equivalent ones.
    Returns:
        The exit status: 1 where one survives that is not listed.
    """
    listed = equivalents(known)
    chosen = [mutant for mutant in made if arguments.only in mutant.name]
    chosen = chosen[arguments.begin :: arguments.every]
    if arguments.unlisted:
        chosen = [mutant for mutant in chosen if mutant.name not in listed]
    with ThreadPoolExecutor(arguments.jobs) as pool:
        count = report(chosen, pool.map(fate, chosen), listed)
    print(f"{len(chosen)} mutants: " + ", ".join(f"{n} {of}" for of, n in sorted(count.items())))
    return int(count[SURVIVES] > 0)


def report(
    chosen: Sequence[Mutant], fates: Iterable[str], known: dict[str, str]
) -> collections.Counter[str]:
    """Print the mutants that survive as they come, and return how many met which fate."""
    count = collections.Counter[str]()
    for number, (mutant, of) in enumerate(zip(chosen, fates, strict=True), 1):
        listed = mutant.name in known
        if listed and of != SURVIVES:
            print(f"line {mutant.line}: {mutant.name}: listed as equivalent, but {of}", flush=True)
        if of == SURVIVES and not listed:
            print(f"line {mutant.line}: {mutant.name}", flush=True)
        count[EQUIVALENT if listed and of == SURVIVES else of] += 1
        if number % PROGRESS == 0:
            print(f"{number} of {len(chosen)}", file=sys.stderr, flush=True)
    return count
