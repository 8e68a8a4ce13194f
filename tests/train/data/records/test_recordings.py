"""What provenance says of a training set: the same from records in memory and from an index."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from train.data.formats.table import read_records
from train.data.lazy.index_cache import index_of
from train.data.records.record import strict
from train.data.records.recordings import Recordings


def manifest(folder: Path) -> str:
    (folder / "a.wav").write_bytes(b"")
    lines = [
        f'{{"audio_filepath": "a.wav", "text": "one", "duration": {seconds}{corpus}}}'
        for corpus, durations in ((', "corpus": "an4"', range(1, 102)), ("", (1800.0, 1800.0)))
        for seconds in durations
    ]
    path = folder / "train.jsonl"
    path.write_text("\n".join(lines))
    return str(path)


def test_recordings_are_counted_by_corpus(tmp_path: Path) -> None:
    path = manifest(tmp_path)
    groups = ((r.corpus, np.array([r.duration], np.float32)) for r in strict(read_records(path)))
    records = Recordings.of(groups)
    index = index_of(path, None, None, tmp_path / "cache", lambda done: None)
    indexed = Recordings.of(index.durations_by_corpus())
    assert records.notes() == indexed.notes()
    assert records.hours == indexed.hours == pytest.approx(1.0 + 101 * 51 / 3600)
    about = records.notes()
    assert about["unnamed"]["recordings"] == 2 and about["unnamed"]["hours"] == 1.0
    assert about["an4"]["percentiles"] == {
        **{"1": 2.0, "5": 6.0, "25": 26.0, "50": 51.0, "75": 76.0, "95": 96.0, "99": 100.0}
    }
    twice = Recordings.of([*index.durations_by_corpus()] * 2)
    assert twice.hours == 2 * indexed.hours
    assert twice.notes()["an4"]["percentiles"]["50"] == 51.0


def test_a_corpus_of_which_nothing_is_left_is_not_named() -> None:
    assert Recordings({"empty": np.zeros(0, np.float32)}).notes() == {}
