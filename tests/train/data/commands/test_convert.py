"""Converting: formats by name, copies of recordings, and what is done with faults."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.train.data.formats.sets import recording, records
from train.data.__main__ import main
from train.data.formats import jsonl
from train.data.formats.table import read_records
from train.data.records.record import Record, strict


def convert(*arguments: str | Path) -> int:
    return main(["convert", *map(str, arguments)])


def manifest(folder: Path) -> Path:
    jsonl.write(records(folder / "audio"), folder / "set.jsonl")
    return folder / "set.jsonl"


def read(path: Path) -> list[Record]:
    return list(strict(read_records(str(path))))


def test_json_lines_become_cuts_without_opening_a_recording(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "set.jsonl"
    path.write_text(
        json.dumps({"audio_filepath": "none.wav", "text": "one", "duration": 1.5}) + "\n"
    )
    assert convert(path, tmp_path / "cuts.jsonl.gz") == 0
    assert capsys.readouterr().out == f"{tmp_path}/cuts.jsonl.gz: 1 utterances\n"
    (record,) = read(tmp_path / "cuts.jsonl.gz")
    assert (record.text, record.duration) == ("one", 1.5)


def test_durations_that_are_not_given_are_those_of_the_recordings(tmp_path: Path) -> None:
    recording(tmp_path / "a.wav", 0.5)
    entry = {"transcript": "one", "files": [{"fname": "a.wav"}], "original_duration": 0.0}
    (tmp_path / "set.json").write_text(json.dumps([entry]))
    assert convert(tmp_path / "set.json", tmp_path / "set.jsonl") == 0
    assert read(tmp_path / "set.jsonl")[0].duration == pytest.approx(0.3)


def test_measuring_opens_every_recording(tmp_path: Path) -> None:
    path = manifest(tmp_path)
    path.write_text(path.read_text().replace('"duration":0.3', '"duration":9.9'))
    assert convert(path, tmp_path / "m.jsonl", "--measure") == 0
    measured = read(tmp_path / "m.jsonl")
    assert [record.duration for record in measured] == pytest.approx([0.3, 0.1, 0.3])
    assert measured[0].extra["sampling_rate"] == 16000


def test_copies_are_what_is_heard(tmp_path: Path) -> None:
    path = manifest(tmp_path)
    copied = tmp_path / "copied"
    assert convert(path, tmp_path / "set.json", "--audio", copied) == 0
    assert sorted(file.name for file in copied.rglob("*.*")) == [
        "a.wav",
        "b_flac_0_1-0_2s.flac",
        "c_wav_channel_1.flac",
    ]
    for record, same in zip(read(path), read(tmp_path / "set.json"), strict=True):
        assert (same.read() == record.read()).all()


def test_what_a_format_cannot_say_is_refused_and_nothing_is_written(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert convert(manifest(tmp_path), tmp_path / "set.json") == 3
    assert "set.jsonl: line 2: audio/s2/b.flac#0.1-0.2s is a part" in capsys.readouterr().err
    assert not (tmp_path / "set.json").exists()


def test_a_bad_line_ends_the_command_or_is_left_out(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = manifest(tmp_path)
    path.write_text(path.read_text() + "nonsense\n")
    output = tmp_path / "cuts.jsonl"
    assert convert(path, output) == 3
    assert "set.jsonl: line 4: JSON is malformed" in capsys.readouterr().err
    assert not output.exists()
    assert convert(path, output, "--on-error", "skip") == 0
    said = capsys.readouterr()
    assert "line 4: JSON is malformed" in said.err
    assert said.out == f"{output}: 3 utterances, 1 left out\n"


def test_shards_are_named_as_they_are_read(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = manifest(tmp_path)
    assert convert(path, tmp_path / "out" / "set.tar") == 0
    name, _, said = capsys.readouterr().out.partition(": ")
    assert (name, said) == (f"{tmp_path}/out/set-{{000000..000000}}.tar", "3 utterances\n")
    for record, same in zip(read(path), read(Path(name)), strict=True):
        assert (same.read() == record.read()).all()


def test_short_texts_are_left_out(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    texts = ("a", "", "oui", "no")
    lines = (
        json.dumps({"audio_filepath": f"{number}.wav", "text": text, "duration": 1.0}) + "\n"
        for number, text in enumerate(texts)
    )
    (tmp_path / "set.jsonl").write_text("".join(lines))
    assert convert(tmp_path / "set.jsonl", tmp_path / "kept.jsonl", "--min-characters", "2") == 0
    assert capsys.readouterr().out == f"{tmp_path}/kept.jsonl: 2 utterances, 2 too short\n"
    assert [record.text for record in read(tmp_path / "kept.jsonl")] == ["oui", "no"]
