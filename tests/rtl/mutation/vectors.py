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
from stream.integer.network import IntegerLayer, to_integers
from tests.export.hardware.models import small_bundle, small_network
from tests.rtl.alone.arithmetic import operands, run_arithmetic
from tests.rtl.alone.cell import edges, run_cell
from tests.rtl.alone.fifo import DEPTHS, check_fifo, run_fifo, traffic
from tests.rtl.alone.lanes import products, run_lanes
from tests.rtl.alone.memory import MEMORIES, accesses, run_memory
from tests.rtl.alone.sizes import SIZES, run_sizes
from tests.rtl.alone.walk import order, run_walk
from tests.rtl.alone.weights import FILL_WIDTHS, reads, run_buffer, run_weights, words_loaded
from tests.rtl.lstm_layer import LayerBench
from tests.rtl.mutation.models import brief_bundle
from tests.rtl.simulators import Icarus, Parameters
from tests.rtl.test_transducer import check, chunks, joined
from tests.rtl.transducer import TransducerBench

__all__ = ["Vectors", "clock_lines", "simulate", "simulate_alone", "simulate_layer"]

PAUSES = ((), ("idle", "stall", "wait"))
LAYER = ("rill_layer", "rill_lanes", "rill_lstm_layer")
TRANSDUCER = ("rill_transducer", "rill_argmax", "rill_layer", "rill_lanes")


class Vectors(NamedTuple):
    """A simulation of the source, and what came of it.

    Attributes:
        modules: whose mutants it is for.
        folder: of its images and stimuli.
        bench, parameters, plusargs: what is simulated.
        trace: what it wrote.
        clocks: the lines it printed of them; `all_clocks` is how many it took.
    """

    modules: tuple[str, ...]
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

    def __init__(self, *modules: str) -> None:
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
    return [
        *simulate_alone(folder),
        *simulate_layer(small_bundle("plain", bundles), folder),
        *_simulate_transducer(bundles / "brief", folder),
        *_simulate_sizes(folder),
        *_simulate_external(bundles / "brief", folder),
    ]


def simulate_alone(folder: Path) -> list[Vectors]:
    """Simulate single modules."""
    cell = Recorder("rill_cell")
    values = cell_values(*edges())
    h, c = run_cell(cell, folder / "cell", *edges())
    assert np.array_equal(h, values.h) and np.array_equal(c, values.c)
    arithmetic = Recorder("rill_round", "rill_joint")
    rows = operands()
    found = run_arithmetic(arithmetic, folder / "arithmetic", rows)
    assert all(map(np.array_equal, found, rows.values()))
    fifo = Recorder("rill_fifo")
    for depth in DEPTHS:
        check_fifo(depth, traffic(), run_fifo(fifo, folder / f"fifo-{depth}", depth, traffic()))
    memory = Recorder("rill_ram", "rill_rom")
    for depth, clocks in MEMORIES:
        of = accesses(depth)
        answers = run_memory(memory, folder / f"memory-{depth}-{clocks}", depth, clocks, of)
        assert np.array_equal(answers[depth:], of.answers[depth:])
    walk = Recorder("rill_walk")
    loaded, outside = Recorder("rill_weights"), Recorder("rill_weight_buffer")
    for pauses in ((), ("idle", "wait")):
        assert np.array_equal(run_walk(walk, folder / "walk", *pauses), order())
        assert run_weights(loaded, folder / "weights", *pauses) == words_loaded()
        for fill_width in FILL_WIDTHS:
            place = folder / f"buffer-{fill_width}"
            assert run_buffer(outside, place, fill_width, *pauses) == reads()
    lanes = Recorder("rill_lanes")
    rows_of_lanes, sums = products()
    assert np.array_equal(run_lanes(lanes, folder / "lanes", rows_of_lanes), sums)
    recorders = (cell, arithmetic, fifo, memory, walk, loaded, outside, lanes)
    return [vectors for recorder in recorders for vectors in recorder.vectors]


def simulate_layer(bundle: Bundle, folder: Path) -> list[Vectors]:
    """Simulate `rill_lstm_layer` on directed steps, and on steps of three channels."""
    recorder = Recorder(*LAYER)
    for name, units, channels in (("prediction.lstm.0", 1, 1), ("encoder.post.0", 2, 2)):
        place, entry = folder / name, bundle.layer(name)
        bench = LayerBench(bundle, entry, recorder, place, units=units, channels=channels)
        _directed_steps(bench, bundle, name, channels)
    network = to_integers(small_network("plain"))
    # A step that begins has as many words as inputs: fewer than the results of a group of 8 take, or more.
    for name, layer, units in (
        ("encoder.post.0", network.post[0], 2),
        ("prediction.lstm.0", network.prediction[0], 8),
    ):
        place = folder / f"channels-{name}"
        bench = LayerBench(bundle, bundle.layer(name), recorder, place, units=units, channels=3)
        _three_channels(bench, layer, bundle.layer(name).inputs)
    return recorder.vectors


def _simulate_transducer(bundles: Path, folder: Path) -> list[Vectors]:
    """Simulate short streams of one channel, of two and of three, and of models of other sizes."""
    recorder = Recorder(*TRANSDUCER)
    plain, running, deep, wide = (
        brief_bundle(name, bundles) for name in ("plain", "running", "deep", "wide")
    )
    first = TransducerBench(plain, recorder, folder / "first", units=8, weight_latency=3)
    _streams(first, [[(plain, "less-than-a-frame")]])
    three = TransducerBench(
        plain, recorder, folder / "three", units=8, channels=3, memory_clocks=3, weight_latency=4
    )
    _streams(three, _three_streams(bundles))
    frames = TransducerBench(plain, recorder, folder / "frames", units=8)
    _streams(frames, [[(plain, "tone")]])
    layers = TransducerBench(deep, recorder, folder / "deep", units=8, channels=2)
    _streams(layers, [[(deep, "less-than-a-frame"), (deep, "odd-end")], [(deep, "constant")]])
    banks = TransducerBench(wide, recorder, folder / "wide", units=8)
    _streams(banks, [[(wide, "less-than-a-frame")]])
    count = TransducerBench(running, recorder, folder / "running", units=8, channels=2)
    _streams(count, [[(running, "tone")], [(running, "clicks"), (running, "odd-end")]])
    _streams(three, _three_streams(bundles), "idle", "stall", "wait")
    return recorder.vectors


def _simulate_sizes(folder: Path) -> list[Vectors]:
    recorder = Recorder("rill_external", "rill_transducer")
    for n, (parameters, expected) in enumerate(SIZES):
        assert run_sizes(recorder, folder / f"sizes-{n}", parameters) == expected
    return recorder.vectors


def _simulate_external(bundles: Path, folder: Path) -> list[Vectors]:
    """Simulate streams of three channels whose weights lie outside."""
    recorder = Recorder("rill_external", "rill_transducer", "rill_layer")
    external = TransducerBench(
        brief_bundle("plain", bundles),
        recorder,
        folder / "external",
        units=8,
        channels=3,
        memory_clocks=3,
        weight_latency=3,
        weights="outside",
        fill_width=64,
    )
    begins_anew, *others = _three_streams(bundles)
    for pauses in ((), ("stall", "wait")):
        _streams(external, [others[0], begins_anew, others[1]], *pauses)
    return recorder.vectors


def _three_streams(bundles: Path) -> list[list[tuple[Bundle, str]]]:
    """Return three chunks of three channels, of bundles with the same weights.

    Chunks are mute in one channel and heard in others. One ends within a pair, and another stream begins there.
    """
    plain, muting = (brief_bundle(name, bundles) for name in ("plain", "muting"))
    return [
        [(plain, "less-than-a-chunk"), (muting, "clicks")],
        [(muting, "one-sample")],
        [(muting, "babble")],
    ]


def _streams(
    bench: TransducerBench, plan: Sequence[Sequence[tuple[Bundle, str]]], *options: str
) -> None:
    """Simulate streams, for each channel one after another, until those of one have ended."""
    streams = [joined([chunks(bundle, name) for bundle, name in names]) for names in plan]
    turns = zip(*(sent for _, sent in streams), strict=False)
    runs = bench.run([chunk for turn in turns for chunk in turn], *options)
    assert any(len(run.arrays["tokens"]) for run in runs)
    for run, (values, _) in zip(runs, streams, strict=True):
        # Where one stream has no second input, the first layers compute one for it nevertheless.
        of = {key for key in run.arrays if len(plan) == 1 or not key.startswith("encoder.pre")}
        check(
            {key: run.arrays[key] for key in of},
            {key: values[key][: len(run.arrays[key])] for key in of},
        )


def _directed_steps(bench: LayerBench, bundle: Bundle, name: str, channels: int) -> None:
    case = next(case for case in bundle.manifest.cases if case.name == name)
    values = {
        key: rows.reshape(-1, channels, rows.shape[-1])
        for key, rows in bundle.vectors(case).items()
    }
    for pauses in PAUSES:
        h, c = bench.run(values["x"], (values["h_before"], values["c_before"]), *pauses)
        assert np.array_equal(h, values["h"]) and np.array_equal(c, values["c"])


def _three_channels(bench: LayerBench, layer: IntegerLayer, inputs: int) -> None:
    x = np.random.default_rng(1).integers(-128, 128, (3, 3, inputs))
    h, c = np.zeros((2, 3, layer.weight_hh.shape[1]), np.int64)
    expected = []
    for frames in x:
        h, c = lstm_step(layer, frames, h, c)
        expected.append((h, c))
    for pauses in PAUSES:
        assert np.array_equal(np.stack(bench.run(x, None, *pauses), axis=1), expected)
