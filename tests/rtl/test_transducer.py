"""`rill_transducer` computes every value of the vectors of a bundle, and its tokens."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from hwckpt.hardware_bundle import Bundle
from tests.export.hardware.models import MODELS
from tests.rtl.simulators import SIMULATORS, Simulator
from tests.rtl.transducer import Chunk, Run, TransducerBench, chunks_of

BundleOf = Callable[[str], Bundle]
Ints = NDArray[Any]
PAUSES = [(), ("idle",), ("stall",), ("idle", "stall", "wait")]


def chunks(bundle: Bundle, name: str) -> tuple[dict[str, Ints], list[Chunk]]:
    """Return the vectors of a stream, and its chunks."""
    case = next(case for case in bundle.manifest.cases if case.name == name)
    values = bundle.vectors(case)
    return values, chunks_of(bundle, values["pcm"], values["x"])


def joined(
    streams: list[tuple[dict[str, Ints], list[Chunk]]],
) -> tuple[dict[str, Ints], list[Chunk]]:
    """Return the vectors and chunks of streams that come one after another."""
    values = [each for each, _ in streams]
    together = {key: np.concatenate([each[key] for each in values]) for key in values[0]}
    return together, [chunk for _, sent in streams for chunk in sent]


def check(computed: Mapping[str, Ints], values: Mapping[str, Ints]) -> None:
    """Compare everything that was computed with the vectors."""
    for key, rows in computed.items():
        assert np.array_equal(rows, values[key]), key


def check_frames(run: Run, sent: list[Chunk], values: Mapping[str, Ints]) -> None:
    skipped = np.array([chunk.skipped for chunk in sent], np.int64)
    assert np.array_equal(run.frames + skipped[run.frames], values["steps"])


@pytest.mark.slow
def test_streams_one_after_another_are_those_of_the_vectors(
    bundle_of: BundleOf, simulator: Simulator, tmp_path: Path
) -> None:
    bundle = bundle_of("plain")
    bench = TransducerBench(bundle, simulator, tmp_path, units=8, weight_latency=4)
    values, sent = joined([chunks(bundle, name) for name in ("less-than-a-frame", "odd-end")])
    assert [len(chunk.x) for chunk in sent] == [1, 2, 2, 2]  # the first one ends within a pair
    for pauses in PAUSES:
        (run,) = bench.run(sent, *pauses)
        check(run.arrays, values)
        assert len(run.arrays["tokens"]) == 60


def test_weights_may_come_over_a_stream(bundle_of: BundleOf, long: None, tmp_path: Path) -> None:
    bundle = bundle_of("plain")
    bench = TransducerBench(bundle, SIMULATORS["verilator"], tmp_path, units=4, weights="stream")
    values, sent = chunks(bundle, "quiet-speech")
    (run,) = bench.run(sent)
    check(run.arrays, values)


@pytest.mark.slow
@pytest.mark.parametrize("beats", [1000, 300])
def test_weights_may_stay_outside(
    beats: int, bundle_of: BundleOf, simulator: Simulator, tmp_path: Path
) -> None:
    bundle = bundle_of("plain")
    bench = TransducerBench(
        bundle,
        simulator,
        tmp_path,
        units=8,
        memory_clocks=3,
        weight_latency=3,
        weights="outside",
        fill_width=64,
    )
    values, sent = chunks(bundle, "odd-end")
    for pauses in ((), ("wait",)):
        (run,) = bench.run(sent, f"beats={beats}", *pauses)
        check(run.arrays, values)
        assert len(run.arrays["tokens"]) > 10


@pytest.mark.parametrize("model", MODELS)
def test_every_value_of_every_stream_is_that_of_the_vectors(
    model: str, bundle_of: BundleOf, long: None, tmp_path: Path
) -> None:
    bundle = bundle_of(model)
    bench = TransducerBench(bundle, SIMULATORS["verilator"], tmp_path, units=4)
    names = [case.name for case in bundle.manifest.cases if case.kind == "stream"]
    compared = 0
    for name in names:
        values, sent = chunks(bundle, name)
        for pauses in PAUSES if sent else ():
            (run,) = bench.run(sent, *pauses)
            check(run.arrays, values)
            check_frames(run, sent, values)
            compared += len(values["tokens"])
    assert compared > 100


def test_channels_share_weights_and_nothing_else(
    bundle_of: BundleOf, long: None, tmp_path: Path
) -> None:
    bundle = bundle_of("bundled-like")
    bench = TransducerBench(bundle, SIMULATORS["verilator"], tmp_path, units=4, channels=3)
    # The second channel ends streams in the middle of a pair, and begins new ones, while the others go on.
    plan = [["muted-speech"], ["clicks", "square", "babble"], ["speech-after-zeros", "tone"]]
    streams = [joined([chunks(bundle, name) for name in names]) for names in plan]
    together = min(len(sent) for _, sent in streams)
    for pauses in PAUSES:
        runs = bench.run([sent[n] for n in range(together) for _, sent in streams], *pauses)
        for run, (values, _) in zip(runs, streams, strict=True):
            for key, rows in run.arrays.items():
                # Where one stream has no second input, the first layers compute one for it nevertheless.
                if not key.startswith("encoder.pre"):
                    assert np.array_equal(rows, values[key][: len(rows)]), key
            assert len(run.arrays["e"]) == together and len(run.arrays["tokens"]) > 30
