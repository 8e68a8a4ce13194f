"""Aligning: the bundled model's times of its own recordings' words, in a manifest and in cuts."""

from __future__ import annotations

from pathlib import Path

import pytest

from stream.bundled import recordings
from train.data.__main__ import main
from train.data.formats import jsonl
from train.data.formats.table import read_records
from train.data.records.record import File, Record, strict
from train.data.records.words import TimedWord


@pytest.mark.slow
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


def test_times_may_be_those_of_a_ctm_file(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    lines = [
        Record(id=name, audio=File(str(tmp_path / name)), text=text, duration=1.0)
        for name, text in (("a b.wav", "Three, two"), ("c.wav", "one"))
    ]
    jsonl.write(lines, tmp_path / "set.jsonl")
    (tmp_path / "a.ctm").write_text("a_b.wav 1 0.5 0.25 two\na_b.wav 1 0.1 0.2 three\n")
    arguments = [
        "align",
        str(tmp_path / "set.jsonl"),
        str(tmp_path / "out.jsonl"),
        "--normalise",
        "en",
    ]
    assert main([*arguments, "--ctm", str(tmp_path / "a.ctm")]) == 0
    assert "2 utterances, 66.7% of 3 words with their times" in capsys.readouterr().out
    first, second = strict(read_records(str(tmp_path / "out.jsonl")))
    assert first.words == (TimedWord("Three,", 0.1, 0.3), TimedWord("two", 0.5, 0.75))
    assert second.words == (TimedWord("one"),)
    assert main([*arguments, "--ctm", "a.ctm", "--model", "m"]) == 2
