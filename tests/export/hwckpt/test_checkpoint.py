"""Hardware checkpoints are read back, compared and run."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import msgspec
import pytest

from export.errors import ExportError
from export.hwckpt.checkpoint import verify
from hwckpt.writer import from_network, write_checkpoint
from stream.front_end.log_mel import CARD_FLOOR
from tests.tiny import tiny_network


def test_what_was_written_is_compared_and_run(tmp_path: Path) -> None:
    network = tiny_network(floor=CARD_FLOOR)
    checkpoint, path = from_network(network, "1.4"), tmp_path / "f"
    write_checkpoint(checkpoint, path)
    assert verify(path, checkpoint, network).specification == network.specification
    other = dataclasses.replace(checkpoint, step=1)
    with pytest.raises(ExportError, match="reads back differently: step"):
        verify(path, other, network)
    with pytest.raises(ExportError, match="differently: .*joint.output.bias"):
        verify(path, checkpoint, tiny_network(1, floor=CARD_FLOOR))


def test_a_model_that_computes_something_else_is_noticed(tmp_path: Path) -> None:
    network = tiny_network(floor=CARD_FLOOR)
    checkpoint, path = from_network(network, "1.4"), tmp_path / "f"
    write_checkpoint(checkpoint, path)
    soft = msgspec.structs.replace(network.specification, activation="soft")
    with pytest.raises(ExportError, match="other logits than the model, by up to 0"):
        verify(path, checkpoint, dataclasses.replace(network, specification=soft))
