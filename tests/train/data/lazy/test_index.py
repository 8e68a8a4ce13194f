"""The index: utterances by number, made once, and again when the data set changes."""

from __future__ import annotations

import json
import os
import pickle
from pathlib import Path

import numpy as np
import pytest

from stream.manifest import ManifestError
from tests.train.data.formats.sets import records
from tests.train.data.lazy.sets import index, manifest
from train.data.formats.table import FORMATS
from train.data.lazy.index import Index
from train.data.lazy.index_cache import default_cache, index_of


def test_utterances_are_there_by_number_and_by_duration(tmp_path: Path) -> None:
    own = index(tmp_path, [3.0, 1.0, 2.0])
    assert [own[n].text for n in range(len(own))] == ["0", "1", "2"]
    assert (own[1].duration, own[1].line) == (1.0, 2)
    assert own.order.tolist() == [1, 2, 0]
    assert own.durations.tolist() == [1.0, 2.0, 3.0]
    assert own.about.seconds == 6.0
    with pytest.raises(IndexError):
        own[3]


@pytest.mark.parametrize(
    "name", ["manifest", "cuts", "shards", "hf", "folder", "parquet", "archive"]
)
def test_every_format_plays_from_its_index(name: str, tmp_path: Path) -> None:
    given = records(tmp_path / "audio")
    path = tmp_path / "set"
    FORMATS[name].write(given, path)
    found = f"{path}-{{000000..000000}}.tar" if name == "shards" else str(path)
    own = pickle.loads(pickle.dumps(index_of(found, name, cache=tmp_path / "cache")))
    by_text = {own[n].text: own[n] for n in range(3)}
    for record in given:
        np.testing.assert_array_equal(by_text[record.text].read(), record.read())
        assert by_text[record.text].duration == pytest.approx(record.duration)


def test_an_index_is_made_once_and_again_when_its_file_changes(tmp_path: Path) -> None:
    path = manifest(tmp_path / "set.jsonl", [1.0, 2.0])
    made: list[int] = []

    def opened() -> Index:
        return index_of(path, cache=tmp_path / "cache", progress=made.append)

    assert opened().folder == opened().folder
    assert made == [2]
    manifest(tmp_path / "set.jsonl", [1.0, 2.0, 3.0])
    assert len(opened()) == 3
    os.utime(path, ns=(1, 1))
    opened()
    assert made == [2, 3, 3]


def test_what_a_killed_process_left_is_made_again(tmp_path: Path) -> None:
    path = manifest(tmp_path / "set.jsonl", [1.0])
    folder = index_of(path, cache=tmp_path / "cache").folder
    partial = folder.with_suffix(".partial")
    folder.rename(partial)
    (partial / "about.json").unlink()
    assert len(index_of(path, cache=tmp_path / "cache")) == 1
    assert not partial.exists()


def test_faults_are_kept_and_refused_or_allowed_up_to_a_share(tmp_path: Path) -> None:
    path = tmp_path / "set.jsonl"
    good = {"audio_filepath": "a.wav", "text": "one", "duration": 1.0}
    path.write_text("\n".join([json.dumps(good)] * 9 + ["nonsense"]))
    own = index_of(str(path), cache=tmp_path / "cache")
    assert (len(own), own.about.faults) == (9, 1)
    own.check("skip", share=0.1)
    with pytest.raises(ManifestError, match=r"1 of 10 utterances cannot be used .*\n.*: line 10: "):
        own.check("refuse", share=0.1)
    with pytest.raises(ManifestError, match="1 of 10 utterances"):
        own.check("skip", share=0.05)


def test_an_empty_set_is_refused(tmp_path: Path) -> None:
    (tmp_path / "set.jsonl").write_text("\n")
    own = index_of(str(tmp_path / "set.jsonl"), "manifest", cache=tmp_path / "cache")
    with pytest.raises(ManifestError, match="names no recording"):
        own.check("skip", 1.0)


def test_the_cache_is_where_the_system_has_caches(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", "/somewhere")
    assert default_cache() == Path("/somewhere/rill")
