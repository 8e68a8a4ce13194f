"""python -m tests.export.hardware.mutants: whether the vectors of hardware bundles catch every mutant of the C reference.

Each change of `mutation` is compiled and run on the vectors of small models, one after another until one differs; one
stream and the single steps of each come before all others. What none notices is compiled with sanitisers, too: an
access outside of an array changes no value, and is a fault. Mutants that no input tells from the reference are listed in
equivalent_mutants.toml, each with the reason. Any other that survives is printed, and the exit status is 1.
"""

from __future__ import annotations

import functools
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path

from export.hardware.bundle import REFERENCE
from stream.process import run_main
from tests.export.hardware.compilers import SANITISERS
from tests.export.hardware.models import MODELS, small_bundle
from tests.export.hardware.mutation import Mutant, mutants
from tests.rtl.mutation.fates import SURVIVES, build_parser, judge, limit

EQUIVALENT = Path(__file__).with_name("equivalent_mutants.toml")
SECONDS = 1  # of the processor, which a mutant may keep from ending
STREAM = "babble"  # that comes first
REFUSED, CAUGHT, FAULT = "no program", "caught by the vectors", "caught by a sanitiser"
Dump = dict[str, bytes]


def read_all(folder: Path) -> Dump:
    """Return the arrays that a program wrote."""
    return {
        path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*.bin")
    }


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


def build(bundle: Path, source: str, folder: Path, *, sanitisers: bool = False) -> Path | None:
    """Compile a reference for the model of a bundle, in a folder of its own; None: it does not compile."""
    folder.mkdir(parents=True)
    (folder / "rill.c").write_text(source)
    for name in ("rill_dump.c", "rill_model.h", "rill.h"):
        (folder / name).symlink_to(bundle / name)
    # Without a value to return a function would return whatever is there.
    checks = ("-w", *SANITISERS, "-g") if sanitisers else ("-Werror=return-type",)
    program = folder / "dump"
    command = ["gcc", "-std=c99", *checks, str(folder / "rill_dump.c"), "-o", str(program)]
    made = subprocess.run(command, capture_output=True)
    return None if made.returncode else program


def dump(program: Path, bundle: Path) -> Dump:
    """Run a reference on the vectors of a bundle; return what it wrote: nothing, if it stopped early."""
    written = program.with_name("out")
    shutil.rmtree(written, ignore_errors=True)
    done = subprocess.run(
        [program, bundle, written],
        capture_output=True,
        preexec_fn=functools.partial(limit, SECONDS),
    )
    return read_all(written) if done.returncode == 0 else {}


def fate(source: str, references: Sequence[tuple[Path, Dump]], mutant: Mutant) -> str:
    """Return what becomes of a mutant.

    Args:
        references: bundles, in folders named after their models, and what is to be computed of each; those after the
            first, one for each of `MODELS`, are computed with sanitisers, too.
    """
    changed = mutant.of(source)
    with tempfile.TemporaryDirectory(prefix="mutant-") as temporary:
        for sanitisers in (False, True):
            programs: dict[str, Path | None] = {}
            for bundle, expected in references[len(MODELS) if sanitisers else 0 :]:
                model, folder = bundle.name, Path(temporary) / f"{bundle.name}-{sanitisers}"
                if model not in programs:
                    programs[model] = build(bundle, changed, folder, sanitisers=sanitisers)
                program = programs[model]
                if program is None:
                    return REFUSED
                if dump(program, bundle) != expected:
                    return FAULT if sanitisers else CAUGHT
    return SURVIVES


def reference(bundle: Path, folder: Path) -> Dump:
    """Return what the reference computes of a bundle: its vectors, as test_reference.py asserts."""
    program = build(bundle, (REFERENCE / "rill.c").read_text(), folder)
    found = dump(program, bundle) if program else {}
    if not found:
        raise SystemExit("the reference itself does not run")
    return found


def main(argv: list[str] | None = None) -> int:
    """Print what becomes of the mutants; returns the exit status."""
    parser = build_parser(
        "python -m tests.export.hardware.mutants",
        "Change the C reference at every place, one at a time; the vectors have to notice.",
    )
    arguments = parser.parse_args(argv)
    source = (REFERENCE / "rill.c").read_text()
    with tempfile.TemporaryDirectory(prefix="mutants-") as temporary:
        folder = Path(temporary)
        bundles = [small_bundle(name, folder / "bundles").folder for name in MODELS]
        bundles = [*(first_cases(each, folder / "first" / each.name) for each in bundles), *bundles]
        references = [
            (bundle, reference(bundle, folder / "built" / str(number)))
            for number, bundle in enumerate(bundles)
        ]
        of = functools.partial(fate, source, references)
        return judge(mutants(source), of, EQUIVALENT, arguments)


if __name__ == "__main__":
    run_main(main)
