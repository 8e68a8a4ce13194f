"""A language of which Rill knows nothing, in an alphabet of its own: a folder and a command, from a corpus to an archive."""

from __future__ import annotations

from pathlib import Path
from subprocess import CompletedProcess
from typing import Any

import numpy as np
import pytest
import soundfile

torch = pytest.importorskip("torch")

from hwckpt.show import main as show
from server.rill.__main__ import main as rill
from stream.decoding.options import DecoderOptions, decoding_of
from stream.model.network import open_model
from tests.places import REPOSITORY
from train.recipe import __main__

# Names of files, as the corpus has them: the words that are said.
FILES = ["Ένα", "δύο", "Τρία", "ένα_δύο", "ΔΎΟ_3", "1_2_3"]


def corpus(folder: Path) -> None:
    """Write recordings of some speakers; of tones, which nobody has to understand here."""
    for number in range(4):
        speaker = folder / "Q36510-ell-Greek" / f"speaker {number}"
        speaker.mkdir(parents=True)
        for pitch, name in enumerate(FILES):
            time = np.arange(6000 + 900 * number) / 16000
            noise = 0.01 * np.random.default_rng(pitch).standard_normal(len(time))
            tone = 0.3 * np.sin(2 * np.pi * 300 * (1 + pitch) * time) + noise
            soundfile.write(speaker / f"{name}.wav", tone, 16000)


@pytest.mark.slow
def test_a_greek_model_is_made_by_a_folder_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def run(command: list[str]) -> Any:
        return CompletedProcess(command, rill(command[3:]))

    torch.set_num_threads(1)
    monkeypatch.chdir(tmp_path)  # a recipe may be run from any folder
    monkeypatch.setattr(__main__.subprocess, "run", run)
    for variable in ("RILL_RECIPE", "RILL_DATA", "RILL_OUTPUT"):  # the command sets them
        monkeypatch.setenv(variable, "")
    corpus(tmp_path / "data")
    output = tmp_path / "out"
    command = [
        str(REPOSITORY / "tests" / "train" / "recipe" / "greek"),
        "--data",
        str(tmp_path / "data"),
        "--output",
        str(output),
    ]
    assert __main__.main(command) == 0
    lines = capsys.readouterr().out.splitlines()
    assert not any("to do" in line for line in lines)

    network = open_model(output / "model" / "greek")
    vocabulary = network.vocabulary
    assert vocabulary.decode(vocabulary.encode("τρία μέλισσες")) == "τρία μέλισσες"
    assert len(vocabulary.encode("τρία δύο ένα")) == 3
    assert decoding_of(network, DecoderOptions(decoder="beam")).ngram is not None
    assert network.notes["language"] == "el"
    assert (output / "el.tar.gz").is_file()

    assert show([str(output / "model" / "greek")]) == 0
    shown = capsys.readouterr().out
    assert "data.text" in shown and "language.py" in shown and "dev onnx" in shown
    assert "heard of lingualibre" in shown and "n-gram model" in shown
