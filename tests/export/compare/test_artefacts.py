"""What can be compared, by name."""

from __future__ import annotations

from pathlib import Path

import pytest

from export.compare.artefacts import open_artefact
from stream.model.directory import write
from stream.model.specification import ModelError
from tests.tiny import tiny_network


def test_an_artefact_is_a_path_with_or_without_a_backend(tmp_path: Path) -> None:
    write(tiny_network(), tmp_path / "tiny", {})
    assert open_artefact(f"{tmp_path}/tiny:numpy").backend == "numpy"
    with pytest.raises(ValueError, match="tiny:nmupy: no backend 'nmupy'; there are numpy"):
        open_artefact(f"{tmp_path}/tiny:nmupy")


def test_a_model_of_ctc_alone_is_refused(tmp_path: Path) -> None:
    write(tiny_network(decoder="ctc"), tmp_path / "model", {})
    with pytest.raises(ModelError, match="decodes with ctc alone; transducers are compared here"):
        open_artefact(str(tmp_path / "model"))
