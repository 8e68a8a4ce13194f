"""The n-gram model that a model carries: its weight, and what is refused."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from stream.language_model.files import ngram_of
from stream.language_model.ngram import ArpaTable, read_arpa
from stream.language_model.written_probing import kenlm_binary
from stream.model.network import NgramFile
from stream.model.specification import ModelError
from tests.stream.language_model.test_ngram import ARPA
from tests.tiny import tiny_network


@pytest.fixture
def table(tmp_path: Path) -> ArpaTable:
    path = tmp_path / "small.arpa"
    path.write_text(ARPA, "utf-8")
    return read_arpa(path)


def test_an_ngram_model_scores_with_the_weight_that_the_model_carries(table: ArpaTable) -> None:
    content = kenlm_binary(table)
    light, heavy = (
        ngram_of(replace(tiny_network(), ngram=NgramFile(content, weight))) for weight in (0.5, 1.0)
    )
    assert light is not None and heavy is not None
    scores = [model.step(model.start, 3)[0] for model in (light, heavy)]
    assert scores[0] < 0.0
    assert scores[1] == pytest.approx(2 * scores[0])


def test_pieces_that_are_no_text_are_skipped(table: ArpaTable) -> None:
    network = replace(tiny_network(), ngram=NgramFile(kenlm_binary(table), 1.0))
    model = ngram_of(network, frozenset({3}))
    assert model is not None
    assert model.step(model.start, 3) == (0.0, model.start)


def test_a_model_without_an_ngram_model_has_none() -> None:
    assert ngram_of(tiny_network()) is None


@pytest.mark.parametrize(
    ("file", "said"),
    [
        (NgramFile(b"not KenLM", 0.1), "m.pt: its n-gram model cannot be used: .*not a KenLM"),
        (NgramFile(b"not KenLM", None), "m.pt: its n-gram model has no weight"),
    ],
)
def test_an_ngram_model_that_cannot_be_used_is_refused_with_the_file(
    file: NgramFile, said: str
) -> None:
    with pytest.raises(ModelError, match=said):
        ngram_of(replace(tiny_network(), ngram=file, path=Path("m.pt")))
