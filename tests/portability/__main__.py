"""python -m tests.portability: the bundled model on other processors and versions, token for token.

`cpus` runs the locked core install on this machine and on emulated ones. `wheels` installs the wheel on
every Python that is to be had, with the oldest and with the newest dependencies that pyproject.toml
allows, and starts the server there, too. Each installation runs `transcribe`; any token that differs
between two is a failure, as is a backend that does not run. What cannot be had here is named and
skipped; under CI=true, where apt-get could install what emulates a processor, that is a failure, too.
"""

from __future__ import annotations

import argparse
import os
import shutil
import sys
from concurrent.futures import ThreadPoolExecutor
from functools import partial

from stream.process import run_main
from tests.places import REPOSITORY
from tests.portability.comparison import Difference, differences
from tests.portability.debian import Unavailable
from tests.portability.environment import build_wheel
from tests.portability.installation import Installation, Outcome, run
from tests.portability.interpreters import emulated_arm, emulated_x86, of_version, this
from tests.portability.transcribe import BACKENDS, PACKAGES

CACHE = REPOSITORY / ".cache/portability"
DEBIAN = CACHE / "debian"

LOCKED = ("--no-deps", "--requirements", REPOSITORY / "requirements/core.txt")
ALLOWED = ("--requirements", REPOSITORY / "pyproject.toml", "--resolution")
OLDEST, NEWEST = "lowest-direct", "highest"  # of these, as uv calls them
CPUS = (
    Installation("native", this, LOCKED),
    Installation("haswell", partial(emulated_x86, "Haswell"), LOCKED),  # AVX2, no VNNI
    Installation("nehalem", partial(emulated_x86, "Nehalem"), LOCKED),  # SSE4.2, no AVX
    Installation("neoverse-n1", partial(emulated_arm, "neoverse-n1", DEBIAN), LOCKED),
)
MORE_CPUS = (
    Installation("sandybridge", partial(emulated_x86, "SandyBridge"), LOCKED),  # AVX, no AVX2
    Installation("haswell-oldest", partial(emulated_x86, "Haswell"), (*ALLOWED, OLDEST)),
    Installation("haswell-newest", partial(emulated_x86, "Haswell"), (*ALLOWED, NEWEST)),
    Installation("cortex-a72", partial(emulated_arm, "cortex-a72", DEBIAN), LOCKED),  # no SDOT
)
WHEELS = tuple(
    Installation(
        f"{version}-{age}", partial(of_version, version, DEBIAN), (*ALLOWED, resolution), serve=True
    )
    for version in ("3.11", "3.12", "3.13", "3.14")
    for age, resolution in (("oldest", OLDEST), ("newest", NEWEST))
)
MATRICES = {"cpus": (CPUS, MORE_CPUS), "wheels": (WHEELS, ())}  # the usual, and what else is known


def build_parser() -> argparse.ArgumentParser:
    """Return the parser."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.portability",
        description="Run the bundled model on other processors or versions and compare all tokens.",
        epilog="example: python -m tests.portability cpus native cortex-a72",
        allow_abbrev=False,
    )
    kinds = parser.add_subparsers(dest="matrix", required=True, metavar="cpus|wheels")
    for matrix, (usual, further) in MATRICES.items():
        names = [installation.name for installation in usual + further]
        kind = kinds.add_parser(matrix, allow_abbrev=False)
        kind.add_argument(
            "names",
            nargs="*",
            metavar="NAME",
            help=f"of {', '.join(names)}, or all (default: {' '.join(names[: len(usual)])})",
        )
    return parser


def main(argv: list[str] | None = None) -> int:
    """Make and run installations, as many at once as there are cores; returns the exit status."""
    parser = build_parser()
    arguments = parser.parse_args(argv)
    usual, further = MATRICES[arguments.matrix]
    known = {installation.name: installation for installation in usual + further}
    if unknown := set(arguments.names) - known.keys() - {"all"}:
        parser.error(f"there is no {', '.join(sorted(unknown))}; there are {', '.join(known)}")
    chosen = usual
    if arguments.names:
        wanted = known if "all" in arguments.names else arguments.names
        chosen = tuple(known[name] for name in known if name in wanted)
    try:
        wheel = build_wheel(REPOSITORY, CACHE / "wheel")
    except Unavailable as reason:
        print(f"the wheel cannot be built: {reason}", file=sys.stderr)
        return 4
    outcomes = []
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        for outcome in pool.map(lambda each: run(each, wheel, CACHE), chosen):
            print(
                f"{outcome.name}: {outcome.skipped or f'{outcome.seconds:.0f} s'}", file=sys.stderr
            )
            outcomes.append(outcome)
    transcripts = [transcript for outcome in outcomes for transcript in outcome.transcripts]
    complete = arguments.matrix == "cpus" and _could_be_installed()
    return report(outcomes, list(differences(transcripts)), complete)


def report(outcomes: list[Outcome], found: list[Difference], complete: bool) -> int:
    """Print a table and what is behind it; returns the exit status.

    Args:
        outcomes: of installations.
        found: differences between them.
        complete: whether one that was skipped is a failure.
    """
    heading = ["", "Python", *PACKAGES, *BACKENDS, "server"]
    rows = [heading, *(_row(outcome, found) for outcome in outcomes if not outcome.skipped)]
    columns = [column for column in zip(*rows, strict=True) if any(column[1:])]
    widths = [max(map(len, column)) for column in columns]
    for row in zip(*columns, strict=True):
        cells = (cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        print("  ".join(cells).rstrip())
    failed = bool(found)
    for outcome in outcomes:
        for backend, text in outcome.warnings:
            print(f"{outcome.name}, {backend} warns: {text}")
        for backend, text in outcome.errors:
            print(f"{outcome.name}, {backend} FAILS: {text}")
            failed = True
        if outcome.skipped:
            print(f"{outcome.name} SKIPPED: {outcome.skipped}")
            failed |= complete
    for difference in found:
        print(difference)
    served = {outcome.served: outcome.name for outcome in outcomes if outcome.served is not None}
    if len(served) > 1:
        print("servers differ: " + "; ".join(f"{name} {text!r}" for text, name in served.items()))
        failed = True
    return int(failed)


def _row(outcome: Outcome, found: list[Difference]) -> list[str]:
    """Return an installation's cells."""
    failed = {backend for backend, _ in outcome.errors}
    cells = [outcome.name, *(outcome.versions.get(name, "") for name in ("python", *PACKAGES))]
    for backend in BACKENDS:
        heard = [t for t in outcome.transcripts if t.backend == backend]
        wrong = [d for d in found if (d.got.installation, d.got.backend) == (outcome.name, backend)]
        equal = f"{len(wrong)} of {len(heard)} differ" if wrong else "same"
        cells.append(equal if heard else "fails" if backend in failed else "-")
    served = "" if outcome.served is None else "runs"
    return [*cells, "fails" if "server" in failed else served]


def _could_be_installed() -> bool:
    """Return whether what is missing here should not be: .ci/run installs it where it can."""
    return (
        os.environ.get("CI") == "true" and os.geteuid() == 0 and shutil.which("apt-get") is not None
    )


if __name__ == "__main__":
    run_main(main)
