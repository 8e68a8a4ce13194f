"""What Yosys makes of a layer computes the same as its source."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from hwckpt.hardware_bundle import Bundle
from tests.rtl.lstm_layer import LayerBench
from tests.rtl.netlist import FLOWS, Netlist

BundleOf = Callable[[str], Bundle]


@pytest.mark.slow
@pytest.mark.parametrize("flow", FLOWS)
def test_a_synthesised_layer_computes_the_directed_steps(
    flow: str, bundle_of: BundleOf, long: None, tmp_path: Path
) -> None:
    bundle, name = bundle_of("plain"), "prediction.lstm.0"
    case = next(case for case in bundle.manifest.cases if case.name == name)
    values = {key: array[:, None] for key, array in bundle.vectors(case).items()}
    bench = LayerBench(bundle, bundle.layer(name), Netlist(flow), tmp_path, units=1)
    for pauses in ((), ("idle", "stall")):
        h, c = bench.run(values["x"], (values["h_before"], values["c_before"]), *pauses)
        assert np.array_equal(h, values["h"])
        assert np.array_equal(c, values["c"])
