"""`rill_lstm_layer` computes rule 3 bit for bit, whatever pauses the streams at both of its ends make."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from hwckpt.hardware_bundle import Bundle
from stream.integer.fixed import lstm_step
from stream.integer.network import to_integers
from tests.export.hardware.models import small_network
from tests.rtl.lstm_layer import LayerBench
from tests.rtl.simulators import Simulator

BundleOf = Callable[[str], Bundle]
PAUSES = [(), ("idle",), ("stall",), ("idle", "stall")]


@pytest.mark.slow
@pytest.mark.parametrize("name", ["encoder.post.0", "prediction.lstm.0"])
def test_directed_steps_reach_every_rounding_and_saturation(
    name: str, bundle_of: BundleOf, simulator: Simulator, tmp_path: Path
) -> None:
    bundle = bundle_of("plain")
    case = next(case for case in bundle.manifest.cases if case.name == name)
    values = {key: array[:, None] for key, array in bundle.vectors(case).items()}
    bench = LayerBench(bundle, bundle.layer(name), simulator, tmp_path, units=2)
    for pauses in PAUSES:
        h, c = bench.run(values["x"], (values["h_before"], values["c_before"]), *pauses)
        assert np.array_equal(h, values["h"]), pauses
        assert np.array_equal(c, values["c"]), pauses


@pytest.mark.slow
@pytest.mark.parametrize(("units", "channels"), [(1, 1), (2, 3)])
def test_channels_are_sequences_of_their_own(
    units: int, channels: int, bundle_of: BundleOf, simulator: Simulator, tmp_path: Path
) -> None:
    bundle, layer = bundle_of("plain"), to_integers(small_network("plain")).pre[0]
    entry = bundle.layer("encoder.pre.0")
    x = np.random.default_rng(1).integers(-128, 128, (2, channels, entry.inputs))
    bench = LayerBench(bundle, entry, simulator, tmp_path, units=units, channels=channels)
    h, c = np.zeros((2, channels, entry.outputs), np.int64)
    expected = []
    for frames in x:
        h, c = lstm_step(layer, frames, h, c)
        expected.append((h, c))
    for pauses in PAUSES:
        computed = np.stack(bench.run(x, None, *pauses), axis=1)
        assert np.array_equal(computed, np.array(expected)), pauses
