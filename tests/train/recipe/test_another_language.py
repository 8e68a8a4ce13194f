"""A language of which Rill knows nothing, in an alphabet of its own: a folder and a command, from a corpus to an archive."""

from __future__ import annotations

import pytest

pytest.importorskip("torch")

from hwckpt.show import main as show
from stream.decoding.options import DecoderOptions, decoding_of
from stream.model.network import open_model
from tests.train.recipe.conftest import Made


@pytest.mark.slow
def test_a_greek_model_is_made_by_a_folder_alone(
    greek: Made, capsys: pytest.CaptureFixture[str]
) -> None:
    assert not any("to do" in line for line in greek.table)
    model = greek.output / "model" / "greek"
    network = open_model(model)
    vocabulary = network.vocabulary
    assert vocabulary.decode(vocabulary.encode("τρία μέλισσες")) == "τρία μέλισσες"
    assert len(vocabulary.encode("τρία δύο ένα")) == 3
    assert decoding_of(network, DecoderOptions(decoder="beam")).ngram is not None
    assert network.notes["language"] == "el"
    assert (greek.output / "el.tar.gz").is_file()

    assert show([str(model)]) == 0
    shown = capsys.readouterr().out
    assert "data.text" in shown and "language.py" in shown and "dev onnx" in shown
    assert "heard of lingualibre" in shown and "n-gram model" in shown
