from __future__ import annotations

from pathlib import Path

import pytest

from hwckpt.checkpoint import Ngram
from hwckpt.ngram import read_ngram
from hwckpt.reader import read, read_checkpoint
from hwckpt.torch_file.container import CheckpointError
from hwckpt.writer import from_network, write_checkpoint
from tests.places import VECTORS

CHECKPOINT = VECTORS / "hwckpt_v1.14.0.pt"


def with_ngram(path: Path, ngram: Ngram) -> Path:
    """Write the small checkpoint with another n-gram model."""
    write_checkpoint(from_network(read(CHECKPOINT), "1.14", ngram=ngram), path)
    return path


def test_the_ngram_model_of_a_checkpoint_has_its_weight(golden: Path, tmp_path: Path) -> None:
    binary = read_checkpoint(golden / "hwckpt_v1.14.0.pt").ngram
    assert binary is not None and binary.binary is not None and binary.scale_factor is not None
    path = with_ngram(tmp_path / "own.pt", Ngram(binary.binary, 2 * binary.scale_factor))
    pieces = read(path).vocabulary.pieces
    light, heavy = read_ngram(golden / "hwckpt_v1.14.0.pt", pieces), read_ngram(path, pieces)
    assert light is not None and heavy is not None
    scores = [model.step(model.start, 3)[0] for model in (light, heavy)]
    assert scores[0] < 0.0
    assert scores[1] == pytest.approx(2 * scores[0])


def test_a_checkpoint_without_an_ngram_model_has_none(tmp_path: Path) -> None:
    path = with_ngram(tmp_path / "own.pt", Ngram())
    assert read_ngram(path, read(path).vocabulary.pieces) is None


@pytest.mark.parametrize(
    "ngram, text",
    [
        (Ngram(b"not KenLM", 0.1), "its n-gram model cannot be used: "),
        (Ngram(b"not KenLM", None), "ngram has a binary but no scale_factor"),
    ],
)
def test_a_broken_ngram_model_is_refused_with_the_file(
    tmp_path: Path, ngram: Ngram, text: str
) -> None:
    path = with_ngram(tmp_path / "own.pt", ngram)
    with pytest.raises(CheckpointError, match=text) as raised:
        read_ngram(path, read(path).vocabulary.pieces)
    assert str(path) in str(raised.value)
