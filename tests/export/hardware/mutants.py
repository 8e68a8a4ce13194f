"""python -m tests.export.hardware.mutants: whether the vectors of hardware bundles catch every mutant of the C reference.

Each change of `mutation` is compiled and run on the vectors of small models, one after another until one differs; one
stream and the single steps of the first come before all others. What none notices is compiled with sanitisers, too: an access outside of an array changes no value, and is a fault. Those
that cannot be told from the reference by any input are listed in equivalent_mutants.toml, each with the reason.
Any other that survives is printed, and the exit status is 1.
"""

from __future__ import annotations

import argparse
import collections
import concurrent.futures
import functools
import os
import resource
import shutil
import subprocess
import tempfile
import tomllib
from collections.abc import Iterable, Sequence
from pathlib import Path

from export.hardware.bundle import REFERENCE
from stream.process import run_main
from tests.export.hardware.compilers import SANITISERS
from tests.export.hardware.models import MODELS, small_bundle
from tests.export.hardware.mutation import Mutant, mutants

EQUIVALENT = Path(__file__).with_name("equivalent_mutants.toml")
SECONDS = 5  # of the processor, which a mutant may keep from ending
STREAM = "babble"  # that comes first
BYTES = 1 << 25  # of a file that it writes
FATES = ("no program", "caught by the vectors", "caught by a sanitiser", "equivalent", "survives")
Dump = dict[str, bytes]


def read_all(folder: Path) -> Dump:
    """Return the arrays that a program wrote."""
    return {
        path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*.bin")
    }


def limit() -> None:
    """Keep a mutant from filling the disk, and from running for ever."""
    resource.setrlimit(resource.RLIMIT_CPU, (SECONDS, SECONDS))
    resource.setrlimit(resource.RLIMIT_FSIZE, (BYTES, BYTES))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def first_cases(bundle: Path, folder: Path) -> Path:
    """Return a folder that is a bundle with one stream and the single steps alone."""
    vectors = folder / "vectors"
    vectors.mkdir(parents=True)
    lines = (bundle / "vectors" / "cases.txt").read_text().splitlines(keepends=True)
    chosen = [line for line in lines if line.split()[1] == STREAM or not line.startswith("stream")]
    (vectors / "cases.txt").write_text("".join(chosen))
    for line in chosen:
        name = line.split()[1]
        (vectors / name).symlink_to(bundle / "vectors" / name)
    for name in ("rill_dump.c", "rill_model.h", "rill.h"):
        (folder / name).symlink_to(bundle / name)
    return folder


def dump(bundle: Path, source: str, folder: Path, *, sanitisers: bool = False) -> Dump | None:
    """Compile and run a reference on the vectors of a bundle.

    Returns:
        What it wrote; None: it does not compile. Nothing, if it stopped early.
    """
    program, written = folder / "dump", folder / "out"
    shutil.rmtree(written, ignore_errors=True)
    (folder / "rill.c").write_text(source)
    for name in ("rill_dump.c", "rill_model.h", "rill.h"):
        (folder / name).unlink(missing_ok=True)
        (folder / name).symlink_to(bundle / name)
    flags = (*SANITISERS, "-g") if sanitisers else ()
    command = ["gcc", "-std=c99", "-w", *flags, str(folder / "rill_dump.c"), "-o", str(program)]
    made = subprocess.run(command, capture_output=True)
    if made.returncode:
        return None
    done = subprocess.run([program, bundle, written], capture_output=True, preexec_fn=limit)
    return read_all(written) if done.returncode == 0 else {}


def fate(source: str, references: Sequence[tuple[Path, Dump]], mutant: Mutant) -> str:
    """Return what becomes of a mutant, one of `FATES`."""
    changed = mutant.of(source)
    with tempfile.TemporaryDirectory(prefix="mutant-") as temporary:
        folder = Path(temporary)
        compiles = False
        for sanitisers in (False, True):
            for bundle, expected in references[int(sanitisers) :]:
                found = dump(bundle, changed, folder, sanitisers=sanitisers)
                compiles = compiles or found is not None
                if found is not None and found != expected:
                    return FATES[2] if sanitisers else FATES[1]
            if not compiles:
                return FATES[0]
    return FATES[4]


def reference(bundle: Path, folder: Path) -> Dump:
    """Return what the reference computes of a bundle: its vectors, as test_reference.py asserts."""
    found = dump(bundle, (REFERENCE / "rill.c").read_text(), folder)
    if not found:
        raise SystemExit("the reference itself does not run")
    return found


def equivalents() -> dict[str, str]:
    """Return the mutants that no input tells from the reference, and why."""
    with EQUIVALENT.open("rb") as file:
        listed = tomllib.load(file)
    return {name: reason for reason, names in listed.items() for name in names}


def report(found: Iterable[tuple[Mutant, str]]) -> collections.Counter[str]:
    """Print the mutants that survive as they come, and return how many met which fate."""
    known = equivalents()
    count = collections.Counter[str]()
    for mutant, of in found:
        equivalent = mutant.name in known
        if equivalent and of != FATES[4]:
            print(
                f"rill.c:{mutant.line}: {mutant.name}: listed as equivalent, but {of}", flush=True
            )
        if of == FATES[4] and not equivalent:
            print(f"rill.c:{mutant.line}: {mutant.name}", flush=True)
        count[FATES[3] if equivalent and of == FATES[4] else of] += 1
    return count


def build_parser() -> argparse.ArgumentParser:
    """Return the parser."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.export.hardware.mutants",
        description="Change the C reference at every place, one at a time; the vectors have to notice.",
        allow_abbrev=False,
    )
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, metavar="N")
    parser.add_argument("--only", default="", metavar="TEXT", help="mutants whose name has it")
    parser.add_argument("--every", type=int, default=1, metavar="N", help="only each Nth")
    parser.add_argument(
        "--from", type=int, default=0, dest="begin", metavar="N", help="leave out N"
    )
    return parser


def main(argv: list[str] | None = None) -> int:
    """Print what becomes of the mutants; returns the exit status."""
    arguments = build_parser().parse_args(argv)
    source = (REFERENCE / "rill.c").read_text()
    chosen = [m for m in mutants(source) if arguments.only in m.name]
    chosen = chosen[arguments.begin :: arguments.every]
    with tempfile.TemporaryDirectory(prefix="mutants-") as temporary:
        folder = Path(temporary)
        bundles = [small_bundle(name, folder / "bundles").folder for name in MODELS]
        bundles.insert(0, first_cases(bundles[0], folder / "first"))
        references = [(bundle, reference(bundle, folder)) for bundle in bundles]
        of = functools.partial(fate, source, references)
        with concurrent.futures.ThreadPoolExecutor(arguments.jobs) as pool:
            count = report(zip(chosen, pool.map(of, chosen), strict=True))
    print(", ".join(f"{count[each]} {each}" for each in FATES))
    return int(count[FATES[4]] > 0)


if __name__ == "__main__":
    run_main(main)
