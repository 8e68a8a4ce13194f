"""The int8 backend on a machine: whether a row depends on its batch."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("onnx", reason="needs onnx: pip install 'rill-asr[train]'")

from export.build import build
from export.onnx.ranges import Ranges
from stream.backends.int8 import load, rows_are_independent
from stream.backends.onnx import OnnxBackend
from stream.model import directory
from stream.model.network import Network, open_model
from tests.tiny import tiny_network

PARTS = ("encode", "predict", "join")


@pytest.fixture
def network(tmp_path: Path) -> Network:
    """A random model with int8 graphs, one layer of them in float."""
    made = tiny_network()
    files = build(made, ranges=Ranges(6.0, 6.0), float_layers=["encoder.post.0"])
    directory.write(made, tmp_path / "model", files)
    return open_model(tmp_path / "model")


def last_bit(value: Any, rows: int) -> Any:
    """Change the last bit of a float32 where there are many rows."""
    return np.nextafter(value, np.float32(np.inf)) if rows > 8 else value


def test_rows_do_not_depend_on_their_batch_here(
    network: Network, caplog: pytest.LogCaptureFixture
) -> None:
    assert rows_are_independent(load(network))
    assert not caplog.records


@pytest.mark.parametrize("part", PARTS)
def test_a_last_bit_that_depends_on_the_batch_is_found_and_logged(
    network: Network, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, part: str
) -> None:
    real = getattr(OnnxBackend, part)

    def rounded(self: Any, x: Any, *rest: Any) -> Any:
        result = real(self, x, *rest)
        if isinstance(result, tuple):
            return last_bit(result[0], len(x)), result[1]
        return last_bit(result, len(x))

    monkeypatch.setattr(OnnxBackend, part, rounded)
    with caplog.at_level(logging.WARNING):
        backend = load(network)
    assert not rows_are_independent(backend)
    assert "last bits depend on others" in caplog.text
