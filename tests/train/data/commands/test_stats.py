"""Statistics of data sets: figures that can be counted by hand."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from train.data.__main__ import main

LINES = [
    {"audio_filepath": "a.wav", "text": "one two", "duration": 1800.0, "speaker": "s1"},
    {"audio_filepath": "b.wav", "text": "one", "duration": 3.0, "speaker": "s1"},
    {"audio_filepath": "c.wav", "text": "", "duration": 1797.0},
]


def manifest(folder: Path) -> str:
    path = folder / "set.jsonl"
    path.write_text("".join(json.dumps(line) + "\n" for line in LINES))
    return str(path)


def test_hours_words_speakers_and_durations_are_counted(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["stats", manifest(tmp_path), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["utterances"], found["hours"], found["without_text"]) == (3, 1.0, 1)
    assert (found["speakers"], found["without_speaker"]) == (1, 1)
    assert (found["words"], found["vocabulary"], found["words_once"]) == (3, 2, 1)
    assert found["utterances_by_seconds"]["2-4"] == 1
    assert found["utterances_by_seconds"]["30-inf"] == 2
    assert found["characters"]["o"] == 3
    assert found["seconds_by_share"]["50%"] == 1797.0


def test_the_table_says_the_same(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["stats", manifest(tmp_path)]) == 0
    out = capsys.readouterr().out
    assert "hours              1.0\n" in out
    assert "most frequent words: one 2, two 1" in out
