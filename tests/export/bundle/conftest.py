from __future__ import annotations

from pathlib import Path

import pytest

from export.build import build
from stream.model import directory
from tests.tiny import tiny_network


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """A model directory with float32 graphs and a card."""
    network = tiny_network()
    directory.write(network, tmp_path / "tiny", build(network))
    (tmp_path / "tiny" / "README.md").write_text("# tiny\n")
    return tmp_path / "tiny"
