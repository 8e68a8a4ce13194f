"""Aligning: the bundled model's times of its own recordings' words, in a manifest and in cuts."""

from __future__ import annotations

from pathlib import Path

import pytest

from stream.bundled import recordings
from train.data.__main__ import main
from train.data.formats import jsonl
from train.data.formats.table import read_records
from train.data.records.record import File, Record, strict

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("name", ["words.jsonl", "words_cuts.jsonl.gz"])
def test_words_have_the_times_of_their_sound(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    said = [
        Record(id=u.id, audio=File(str(u.audio)), text=u.text.upper(), duration=u.duration)
        for u in recordings()
    ]
    jsonl.write(said, tmp_path / "set.jsonl")
    output = tmp_path / name
    assert main(["align", str(tmp_path / "set.jsonl"), str(output), "--normalise", "lower"]) == 0
    assert "% of" in capsys.readouterr().out
    found = list(strict(read_records(str(output))))
    assert len(found) == len(said)
    timed = [(record, word) for record in found for word in record.words if word.end is not None]
    assert len(timed) >= 0.7 * sum(len(record.text.split()) for record in said)
    for record, word in timed:
        assert word.text in record.text.split()
        assert word.start is not None and word.end is not None and record.duration is not None
        assert 0.0 <= word.start < word.end <= record.duration + 0.1
