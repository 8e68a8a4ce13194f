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
IN_ICARUS = 2  # chunks: it takes a thousand times as long


def chunks(bundle: Bundle, name: str) -> tuple[dict[str, Ints], list[Chunk]]:
    """Return the vectors of a stream, and its chunks."""
    case = next(case for case in bundle.manifest.cases if case.name == name)
    values = bundle.vectors(case)
    return values, chunks_of(bundle, values["pcm"], values["x"])


def check(computed: Mapping[str, Ints], values: Mapping[str, Ints], *, whole: bool = True) -> None:
    """Compare what was computed with the vectors; of a stream's beginning, with the beginning of each."""
    for key, rows in computed.items():
        expected = values[key] if whole else values[key][: len(rows)]
        assert np.array_equal(rows, expected), key


def check_frames(run: Run, sent: list[Chunk], values: Mapping[str, Ints]) -> None:
    skipped = np.array([chunk.skipped for chunk in sent], np.int64)
    assert np.array_equal(run.frames + skipped[run.frames], values["steps"])


@pytest.mark.slow
def test_the_beginning_of_a_stream_is_that_of_the_vectors(
    bundle_of: BundleOf, simulator: Simulator, tmp_path: Path
) -> None:
    bundle = bundle_of("plain")
    bench = TransducerBench(bundle, simulator, tmp_path, units=8, weight_latency=4)
    values, sent = chunks(bundle, "quiet-speech")
    for pauses in PAUSES:
        (run,) = bench.run(sent[:IN_ICARUS], *pauses)
        check(run.arrays, values, whole=False)
        assert len(run.arrays["e"]) == IN_ICARUS and len(run.arrays["tokens"]) > 0


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
    assert compared > 1000


def test_channels_share_weights_and_nothing_else(
    bundle_of: BundleOf, long: None, tmp_path: Path
) -> None:
    bundle = bundle_of("bundled-like")
    bench = TransducerBench(bundle, SIMULATORS["verilator"], tmp_path, units=4, channels=3)
    # The second channel ends streams in the middle of a pair, and begins new ones, while the others go on.
    plan = [
        ["muted-speech"],
        ["odd-end", "babble", "clicks", "square"],
        ["speech-after-zeros", "tone", "clicks"],
    ]
    streams = [[chunks(bundle, name) for name in names] for names in plan]
    sent = [[chunk for _, part in parts for chunk in part] for parts in streams]
    together = min(map(len, sent))
    for pauses in PAUSES:
        runs = bench.run([channel[n] for n in range(together) for channel in sent], *pauses)
        for run, parts in zip(runs, streams, strict=True):
            expected = {
                key: np.concatenate([values[key] for values, _ in parts]) for key in run.arrays
            }
            # Where one stream has no second input, the first layers compute one for it nevertheless.
            computed = {
                k: rows for k, rows in run.arrays.items() if not k.startswith("encoder.pre")
            }
            check(computed, expected, whole=False)
            assert len(run.arrays["e"]) == together and len(run.arrays["tokens"]) > 30
