"""python -m tests.rtl.mutation.mutants: whether the vectors catch every mutant of the gateware in rtl/.

Each change of `mutation` is simulated in Icarus on the vectors of small models, the shortest first, until what comes out
differs: a value, the order, or the count of clocks. Mutants that no input tells from the source are listed in
equivalent_mutants.toml, each with the reason. Any other that survives is printed, and the exit status is 1.
"""

from __future__ import annotations

import functools
import os
import resource
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

from stream.process import run_main
from tests.export.hardware.mutation import Mutant
from tests.rtl.mutation.fates import SURVIVES, build_parser, judge, limit
from tests.rtl.mutation.mutation import mutants
from tests.rtl.mutation.vectors import Vectors, clock_lines, simulate
from tests.rtl.simulators import SOURCES, Icarus

EQUIVALENT = Path(__file__).with_name("equivalent_mutants.toml")
REFUSED, CAUGHT, LATE = "refused by Icarus", "caught by the vectors", "caught by the clocks"
SECONDS = 5  # of the processor, which a mutant may keep from ending within a clock
MEMORY = 1 << 30  # bytes that Icarus may take
BLOCK = 1 << 12  # bytes of a trace that are compared at a time


def fate(vectors: Sequence[Vectors], mutant: Mutant) -> str:
    """Return what becomes of a mutant."""
    with tempfile.TemporaryDirectory(prefix="mutant-") as temporary:
        folder = Path(temporary)
        changed = folder / f"{mutant.function}.sv"
        sources = [changed if path.name == changed.name else path for path in SOURCES]
        source = next(path for path in SOURCES if path.name == changed.name)
        changed.write_text(mutant.of(source.read_text()))
        fates = (_fate(of, sources, folder) for of in vectors if mutant.function in of.modules)
        return next((of for of in fates if of), SURVIVES)


def _fate(of: Vectors, sources: Sequence[Path], folder: Path) -> str | None:
    """Simulate other sources on some vectors; returns what gives them away."""
    place = folder / of.folder.name
    program, simulator = place / "program", Icarus()
    if not program.exists():
        place.mkdir()
        for path in of.folder.glob("*.hex"):
            if path.name != "trace.hex":
                (place / path.name).symlink_to(path)
        command = simulator.compiler(of.bench, of.parameters, program, sources)
        if subprocess.run(command, cwd=place, capture_output=True, preexec_fn=_confine).returncode:
            return REFUSED
    return _difference(of, simulator.command(program), place)


def _confine() -> None:
    """Keep Icarus from unrolling a loop that does not end."""
    limit(SECONDS)
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))


def _difference(of: Vectors, command: Sequence[str], folder: Path) -> str | None:
    """Run a simulation until it does something else than that of the source; returns what that is."""
    read, write = os.pipe()
    plusargs = (*of.plusargs, f"trace=/dev/fd/{write}", f"limit={of.all_clocks}")
    compared = 0
    with (folder / "printed.txt").open("w+") as printed, open(read, "rb", buffering=0) as trace:
        process = subprocess.Popen(
            [*command, *(f"+{each}" for each in plusargs if each != "trace=trace.hex")],
            cwd=folder,
            stdout=printed,
            stderr=subprocess.STDOUT,
            pass_fds=[write],
            preexec_fn=functools.partial(limit, SECONDS),
        )
        os.close(write)
        while block := trace.read(BLOCK):
            if not of.trace.startswith(block, compared):
                process.kill()
                process.wait()
                return CAUGHT
            compared += len(block)
        ended = process.wait() == 0 and compared == len(of.trace)
        printed.seek(0)
        return None if ended and clock_lines(printed.read()) == of.clocks else LATE


def all_mutants() -> Iterator[Mutant]:
    """Yield the mutants of all modules."""
    for path in SOURCES:
        yield from mutants(path.read_text())


def main(argv: list[str] | None = None) -> int:
    """Print what becomes of the mutants; returns the exit status."""
    parser = build_parser(
        "python -m tests.rtl.mutation.mutants",
        "Change the gateware at every place, one at a time; the vectors have to notice.",
    )
    arguments = parser.parse_args(argv)
    with tempfile.TemporaryDirectory(prefix="mutants-") as temporary:
        folder = Path(temporary)
        vectors = simulate(folder / "bundles", folder)
        return judge(all_mutants(), functools.partial(fate, vectors), EQUIVALENT, arguments)


if __name__ == "__main__":
    run_main(main)
