"""What ships with Rill: recordings that can be read, and a model that is found."""

from __future__ import annotations

from pathlib import Path

import pytest

from stream import bundled
from stream.audio import read_audio


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
    with pytest.raises(FileNotFoundError, match="no bundled model in .*; install Rill again"):
        bundled.model_path()
    for place in (tmp_path / "models" / "en-commands", here / "en-commands"):
        place.mkdir(parents=True)
        (place / "model.json").write_text("{}")
        assert bundled.model_path() == place
        assert bundled.is_bundled(place)
    assert not bundled.is_bundled(tmp_path)
