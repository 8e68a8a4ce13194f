"""Weights that come over a stream, and those that stay outside, are what a layer reads."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.rtl.alone.weights import (
    FILL_WIDTHS,
    reads,
    run_buffer,
    run_weights,
    words_loaded,
)
from tests.rtl.simulators import Simulator


@pytest.mark.slow
@pytest.mark.parametrize("pauses", [(), ("idle",)])
def test_every_load_is_read_back_and_takes_its_bytes_alone(
    pauses: tuple[str, ...], simulator: Simulator, tmp_path: Path
) -> None:
    assert run_weights(simulator, tmp_path, *pauses) == words_loaded()


@pytest.mark.slow
@pytest.mark.parametrize("fill_width", FILL_WIDTHS)
def test_a_layer_reads_the_words_outside_and_each_group_is_asked_for_once(
    fill_width: int, simulator: Simulator, tmp_path: Path
) -> None:
    for pauses in ((), ("wait",)):
        assert run_buffer(simulator, tmp_path, fill_width, *pauses) == reads()
