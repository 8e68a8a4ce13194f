"""What mutants of the gateware are simulated on: short vectors of small models, in Icarus.

Each simulation of the source is compared with the bundle, so that what catches a mutant here is a difference from the specification.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from hwckpt.hardware_bundle import Bundle
from stream.integer.fixed import cell_values, lstm_step
from stream.integer.network import to_integers
from tests.export.hardware.models import small_bundle, small_network
from tests.rtl.cell.cell import edges, run_cell
from tests.rtl.lstm_layer import LayerBench
from tests.rtl.simulators import SOURCES, Icarus, Parameters
from tests.rtl.test_transducer import check, chunks, joined
from tests.rtl.transducer import TransducerBench

__all__ = ["Vectors", "clock_lines", "simulate", "simulate_steps"]

PAUSES = ((), ("idle", "stall", "wait"))
ALL = frozenset(path.stem for path in SOURCES)
UNIT = frozenset({"rill_cell"})
OUTSIDE = frozenset({"rill_external", "rill_weight_buffer"})
LOADED = frozenset({"rill_weights"})
LAYER = ALL - OUTSIDE - LOADED - {"rill_argmax", "rill_joint", "rill_transducer"}
TRANSDUCER = ALL - OUTSIDE - LOADED - {"rill_cell", "rill_fifo", "rill_lstm_layer"}


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
        trace, clocks = (folder / "trace.hex").read_bytes(), clock_lines(printed)
        (last,) = re.findall(r"(\d+) clocks in all", printed)
        of = Vectors(self._modules, folder, bench, parameters, plusargs, trace, clocks, int(last))
        self.vectors.append(of)
        return printed


def clock_lines(printed: str) -> list[str]:
    """Return the lines that a bench prints of clocks."""
    return [line for line in printed.splitlines() if "clocks" in line]


def simulate(bundles: Path, folder: Path) -> list[Vectors]:
    """Simulate the source on all vectors, the shortest first, in a folder."""
    plain, muting, deep = (
        small_bundle(name, bundles) for name in ("plain", "bundled-like", "card-like")
    )
    recorder, loading, outside = Recorder(TRANSDUCER), Recorder(LOADED), Recorder(OUTSIDE)
    steps = simulate_steps(plain, folder)
    first = TransducerBench(plain, recorder, folder / "first", units=8, weight_latency=3)
    _streams(first, plain, [["less-than-a-frame"]])
    of_layers = TransducerBench(deep, recorder, folder / "deep", units=8)
    _streams(of_layers, deep, [["one-sample", "square"]])
    short = TransducerBench(plain, recorder, folder / "short", units=8, weight_latency=4)
    _streams(short, plain, [["less-than-a-frame", "odd-end"]], *PAUSES)
    channels = TransducerBench(
        muting, recorder, folder / "three", units=8, channels=3, memory_clocks=3, weight_latency=3
    )
    plan = [["nyquist"], ["one-sample", "less-than-a-frame"], ["silence"]]
    _streams(channels, muting, plan, *PAUSES)
    for fill_width in (64, 256):
        external = TransducerBench(
            plain,
            outside,
            folder / f"outside-{fill_width}",
            units=8,
            channels=2,
            memory_clocks=3,
            weight_latency=3,
            weights="outside",
            fill_width=fill_width,
        )
        _streams(external, plain, [["odd-end"], ["clicks"]], (), ("beats=300",), ("stall", "wait"))
    loaded = TransducerBench(plain, loading, folder / "loaded", units=8, weights="stream")
    _streams(loaded, plain, [["less-than-a-frame"]])
    return [*steps, *recorder.vectors, *outside.vectors, *loading.vectors]


def _streams(
    bench: TransducerBench,
    bundle: Bundle,
    plan: Sequence[Sequence[str]],
    *options: tuple[str, ...],
) -> None:
    """Simulate streams, for each channel one after another, once with each set of plusargs."""
    streams = [joined([chunks(bundle, name) for name in names]) for names in plan]
    sent = [
        chunk for each in zip(*(chunks for _, chunks in streams), strict=True) for chunk in each
    ]
    for each in options or ((),):
        for run, (values, _) in zip(bench.run(sent, *each), streams, strict=True):
            # Where one stream has no second input, the first layers compute one for it nevertheless.
            check(
                {
                    key: rows
                    for key, rows in run.arrays.items()
                    if len(plan) == 1 or not key.startswith("encoder.pre")
                },
                values,
            )


def simulate_steps(bundle: Bundle, folder: Path) -> list[Vectors]:
    """Simulate the element unit at its edges, `rill_lstm_layer` on directed steps, and on steps of three channels."""
    unit, recorder = Recorder(UNIT), Recorder(LAYER)
    values = cell_values(*edges())
    h, c = run_cell(unit, folder / "cell", *edges())
    assert np.array_equal(h, values.h) and np.array_equal(c, values.c)
    for name in ("prediction.lstm.0", "encoder.post.0"):
        _directed_steps(bundle, name, recorder, folder / name)
    _three_channels(bundle, recorder, folder / "channels")
    return [*unit.vectors, *recorder.vectors]


def _directed_steps(bundle: Bundle, name: str, recorder: Recorder, folder: Path) -> None:
    bench = LayerBench(bundle, bundle.layer(name), recorder, folder, units=2)
    case = next(case for case in bundle.manifest.cases if case.name == name)
    values = {key: rows[:, None] for key, rows in bundle.vectors(case).items()}
    for pauses in PAUSES:
        h, c = bench.run(values["x"], (values["h_before"], values["c_before"]), *pauses)
        assert np.array_equal(h, values["h"]) and np.array_equal(c, values["c"])


def _three_channels(bundle: Bundle, recorder: Recorder, folder: Path) -> None:
    entry, layer = bundle.layer("encoder.post.0"), to_integers(small_network("plain")).post[0]
    x = np.random.default_rng(1).integers(-128, 128, (2, 3, entry.inputs))
    bench = LayerBench(bundle, entry, recorder, folder, units=2, channels=3)
    h, c = np.zeros((2, 3, entry.outputs), np.int64)
    expected = []
    for frames in x:
        h, c = lstm_step(layer, frames, h, c)
        expected.append((h, c))
    for pauses in PAUSES:
        assert np.array_equal(np.stack(bench.run(x, None, *pauses), axis=1), expected)
