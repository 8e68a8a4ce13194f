"""What ships with Rill: recordings that can be read, and a model that is found."""

from __future__ import annotations

from pathlib import Path

import pytest

from stream import bundled
from stream.audio import read_audio
from stream.model.directory import write
from stream.model.network import find_model, models_in, open_model
from stream.model.specification import ModelError
from stream.recogniser import Recogniser
from tests.tiny import tiny_network


def test_every_recording_can_be_read_and_lasts_as_long_as_it_says() -> None:
    found = bundled.recordings()
    assert len(found) >= 6 and {u.corpus for u in found} == {"an4", "speech-commands"}
    for utterance in found:
        assert len(read_audio(utterance.audio)) / 16_000 == pytest.approx(utterance.duration, 0.1)
        assert utterance.text


def test_the_recordings_are_small_and_their_licences_named() -> None:
    folder = Path(bundled.__file__).parent / "recordings"
    assert sum(file.stat().st_size for file in folder.iterdir()) < 400_000
    readme = (folder / "README.md").read_text()
    assert "CC BY 4.0" in readme and "Carnegie Mellon University" in readme
    for utterance in bundled.recordings():
        assert utterance.id in readme, "name it with its source"


def test_an_installed_model_is_taken_before_the_checkouts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    here = tmp_path / "stream" / "bundled"
    monkeypatch.setattr(bundled, "HERE", here)
    with pytest.raises(
        FileNotFoundError, match="no bundled model en-commands in .*; install Rill again"
    ):
        bundled.model_path()
    for place in (tmp_path / "models" / "en-commands", here / "en-commands"):
        place.mkdir(parents=True)
        (place / "model.json").write_text("{}")
        assert bundled.model_path() == place
        assert bundled.is_bundled(place)
    assert not bundled.is_bundled(tmp_path)


def test_a_second_model_is_opened_by_its_name_and_the_first_stays_the_default(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    here, (first, second) = tmp_path / "bundled", bundled.NAMES
    monkeypatch.setattr(bundled, "HERE", here)
    write(tiny_network(1), here / first, {})
    assert bundled.present() == [first]
    with pytest.raises(FileNotFoundError, match=f"no bundled model {second} in "):
        open_model(second)
    write(tiny_network(2), here / second, {})
    assert bundled.present() == [first, second]
    assert bundled.is_bundled(here / second)
    assert Recogniser(backend="numpy").network.path == here / first
    assert Recogniser(second, "numpy").network.path == here / second
    assert models_in(second) == [here / second]


def test_a_model_in_the_current_folder_is_taken_before_the_bundled_one_of_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    name = bundled.NAMES[0]
    (tmp_path / name).mkdir()  # such as a recipe's
    assert find_model(name) == bundled.model_path()
    assert find_model(f"other/{name}") == Path("other", name)
    write(tiny_network(), tmp_path / name, {})
    assert find_model(name) == Path(name)
    with pytest.raises(ModelError, match="is none of"):
        open_model(tmp_path)
