"""python -m tests.rtl.mutation.mutants: whether the vectors catch every mutant of the gateware in rtl/.

Each change of `mutation` is simulated in Icarus on the vectors of small models, the shortest first, until what comes out
differs: a value, the order, or the count of clocks. Mutants that no input tells from the source are listed in
equivalent_mutants.toml, each with the reason. Any other that survives is printed, and the exit status is 1.
"""

from __future__ import annotations

import functools
import re
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from hwckpt.hardware_bundle import Bundle
from stream.process import run_main
from tests.export.hardware.models import small_bundle
from tests.export.hardware.mutation import Mutant
from tests.rtl.cell.cell import edges, run_cell
from tests.rtl.lstm_layer import LayerBench
from tests.rtl.mutation.fates import SURVIVES, build_parser, judge, limit
from tests.rtl.mutation.mutation import mutants
from tests.rtl.simulators import SOURCES, Icarus, Parameters
from tests.rtl.transducer import Chunk, TransducerBench, chunks_of

EQUIVALENT = Path(__file__).with_name("equivalent_mutants.toml")
REFUSED, CAUGHT, LATE = "refused by Icarus", "caught by the vectors", "caught by the clocks"
CLOCKS = 2  # times those of the source, after which a mutant is stopped
SECONDS = 5  # of the processor, which a mutant may keep from ending within a clock
PAUSES = ((), ("idle", "stall", "wait"))
ALL = frozenset(path.stem for path in SOURCES)
LAYER = ALL - {"rill_argmax", "rill_joint", "rill_transducer", "rill_weights"}
TRANSDUCER = ALL - {"rill_cell", "rill_fifo", "rill_lstm_layer", "rill_weights"}
UNIT, LOADED = frozenset({"rill_cell"}), frozenset({"rill_weights"})


class Vectors(NamedTuple):
    """A simulation of the source, and what came of it.

    Attributes:
        modules: whose mutants it is for.
        folder: of its images and stimuli.
        bench, parameters, plusargs: what is simulated.
        trace: what it wrote.
        clocks: the lines it printed of them; `all_clocks` is how many it took.
    """

    modules: frozenset[str]
    folder: Path
    bench: str
    parameters: Parameters
    plusargs: tuple[str, ...]
    trace: bytes
    clocks: list[str]
    all_clocks: int


class Recorder(Icarus):
    """Icarus, which keeps what it was asked to simulate.

    Args:
        modules: whose mutants the simulations are for.

    Attributes:
        vectors: what was simulated so far.
    """

    def __init__(self, modules: frozenset[str]) -> None:
        self._modules = modules
        self.vectors: list[Vectors] = []

    def run(
        self, bench: str, parameters: Parameters, folder: Path, plusargs: tuple[str, ...]
    ) -> str:
        printed = super().run(bench, parameters, folder, plusargs)
        trace, clocks = (folder / "trace.hex").read_bytes(), _clocks(printed)
        (last,) = re.findall(r"(\d+) clocks in all", printed)
        of = Vectors(self._modules, folder, bench, parameters, plusargs, trace, clocks, int(last))
        self.vectors.append(of)
        return printed


def simulate(bundles: Path, folder: Path) -> list[Vectors]:
    """Simulate the source on all vectors, the shortest first, in a folder."""
    plain = small_bundle("plain", bundles)
    return [*simulate_steps(plain, folder), *simulate_streams(plain, folder)]


def simulate_steps(bundle: Bundle, folder: Path) -> list[Vectors]:
    """Simulate the element unit at its edges, `rill_lstm_layer` on directed steps, and on steps of three channels."""
    unit, recorder = Recorder(UNIT), Recorder(LAYER)
    run_cell(unit, folder / "cell", *edges())
    for name in ("prediction.lstm.0", "encoder.post.0"):
        bench = LayerBench(bundle, bundle.layer(name), recorder, folder / name, units=2)
        _directed_steps(bench, bundle, name)
    _three_channels(bundle, recorder, folder / "channels")
    return [*unit.vectors, *recorder.vectors]


def simulate_streams(bundle: Bundle, folder: Path) -> list[Vectors]:
    """Simulate `rill_transducer` on short streams, one with weights that are loaded."""
    loading = Recorder(LOADED)
    loaded = TransducerBench(bundle, loading, folder / "loaded", units=8, loaded=True)
    loaded.run(_chunks(bundle, "less-than-a-frame"))
    recorder = Recorder(TRANSDUCER)
    first = TransducerBench(bundle, recorder, folder / "first", units=8, weight_latency=3)
    first.run(_chunks(bundle, "less-than-a-frame"))
    short = TransducerBench(bundle, recorder, folder / "short", units=8, weight_latency=4)
    for pauses in PAUSES:
        short.run(_chunks(bundle, "less-than-a-frame", "odd-end"), *pauses)
    return [*loading.vectors, *recorder.vectors]


def _directed_steps(bench: LayerBench, bundle: Bundle, name: str) -> None:
    case = next(case for case in bundle.manifest.cases if case.name == name)
    values = {key: rows[:, None] for key, rows in bundle.vectors(case).items()}
    for pauses in PAUSES:
        bench.run(values["x"], (values["h_before"], values["c_before"]), *pauses)


def _three_channels(bundle: Bundle, recorder: Recorder, folder: Path) -> None:
    layer = bundle.layer("encoder.post.0")
    x = np.random.default_rng(1).integers(-128, 128, (2, 3, layer.inputs))
    bench = LayerBench(bundle, layer, recorder, folder, units=2, channels=3)
    for pauses in PAUSES:
        bench.run(x, None, *pauses)


def _chunks(bundle: Bundle, *names: str) -> list[Chunk]:
    cases = {case.name: case for case in bundle.manifest.cases}
    values = [bundle.vectors(cases[name]) for name in names]
    return [chunk for each in values for chunk in chunks_of(bundle, each["pcm"], each["x"])]


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
        if subprocess.run(command, cwd=place, capture_output=True).returncode:
            return REFUSED
    clocks = CLOCKS * of.all_clocks
    done = subprocess.run(
        [*simulator.command(program), *(f"+{each}" for each in (*of.plusargs, f"limit={clocks}"))],
        cwd=place,
        capture_output=True,
        text=True,
        preexec_fn=functools.partial(limit, SECONDS),
    )
    if done.returncode or (place / "trace.hex").read_bytes() != of.trace:
        return CAUGHT
    return LATE if _clocks(done.stdout) != of.clocks else None


def _clocks(printed: str) -> list[str]:
    return [line for line in printed.splitlines() if "clocks" in line]


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
