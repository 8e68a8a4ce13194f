"""Folders and archives of recordings: transcripts beside them, in lists and in tables."""

from __future__ import annotations

import io
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest

from stream.manifest import ManifestError
from tests.train.data.formats.sets import recording
from train.data.formats import archive, folder, hf, parquet
from train.data.records.record import Read, Record, strict

FOLDER = {
    "s1/a.txt": "one\ntwo\n",
    "s2/b.lab": "three",
    "s2/1-2.trans.txt": "1-2-0 FOUR FIVE\n1-2-1 SIX\n",
    "README.txt": "nothing to do with it",
}
AUDIO = ("s1/a.wav", "s2/b.flac", "s2/1-2-0.flac", "s2/1-2-1.flac")


def filled(path: Path) -> Path:
    for name, text in FOLDER.items():
        (path / name).parent.mkdir(parents=True, exist_ok=True)
        (path / name).write_text(text)
    for name in AUDIO:
        recording(path / name, 0.5)
    return path


def packed(path: Path) -> Path:
    """Pack a folder, its texts behind the recordings."""
    with tarfile.open(path.with_suffix(".tar.gz"), "w:gz") as tar:
        for name in (*AUDIO, *FOLDER):
            tar.add(path / name, f"top/{name}")
    return path.with_suffix(".tar.gz")


@pytest.mark.parametrize("read", [folder.read, lambda path: archive.read(packed(path))])
def test_texts_stand_beside_recordings_and_in_lists(
    read: Callable[[Path], Read], tmp_path: Path
) -> None:
    found = {Path(r.id).name: r for r in strict(read(filled(tmp_path / "set")))}
    assert {name: record.text for name, record in found.items()} == {
        "a.wav": "one two",
        "b.flac": "three",
        "1-2-0.flac": "FOUR FIVE",
        "1-2-1.flac": "SIX",
    }
    assert len(found["b.flac"].read()) == 4800


def test_a_recording_without_a_text_is_named_and_the_next_one_read(tmp_path: Path) -> None:
    filled(tmp_path)
    (tmp_path / "s1" / "a.txt").unlink()
    fault, *rest = folder.read(tmp_path)
    assert str(fault) == f"{tmp_path}/s1/a.wav: has no .txt or .lab beside it"
    assert all(isinstance(record, Record) for record in rest) and len(rest) == 3
    fault, *rest = archive.read(packed_without_text(tmp_path))
    assert "x.wav: no transcript" in str(fault)


def packed_without_text(path: Path) -> Path:
    content = recording(path / "x.wav", 0.5).read_bytes()
    with tarfile.open(path / "set.tar.gz", "w:gz") as tar:
        member = tarfile.TarInfo("x.wav")
        member.size = len(content)
        tar.addfile(member, io.BytesIO(content))
    return path / "set.tar.gz"


def test_a_damaged_archive_is_refused(tmp_path: Path) -> None:
    path = packed(filled(tmp_path / "set"))
    content = path.read_bytes()
    for size in range(1, len(content), 97):
        path.write_bytes(content[:size])
        with pytest.raises(ManifestError, match="set.tar.gz: is damaged"):
            list(archive.read(path))


@pytest.mark.parametrize(
    ("name", "table"),
    [
        ("metadata.csv", 'file_name,sentence,client_id,age\nd/a.wav,"one, two",s1,9\n'),
        ("metadata.tsv", "file_name\tsentence\tclient_id\tage\nd/a.wav\tone, two\ts1\t9\n"),
        (
            "metadata.jsonl",
            '{"file_name": "d/a.wav", "sentence": "one, two", "client_id": "s1", "age": "9"}\n',
        ),
    ],
)
def test_a_table_names_recordings_and_texts(name: str, table: str, tmp_path: Path) -> None:
    recording(tmp_path / "train" / "d" / "a.wav", 0.5)
    (tmp_path / "train" / name).write_text(table)
    (record,) = strict(hf.read(tmp_path))
    assert (record.id, record.text, record.speaker) == ("train/d/a.wav", "one, two", "s1")
    assert (record.extra, record.duration) == ({"age": "9"}, None)
    assert len(record.read()) == 4800


def test_a_row_without_a_text_is_named(tmp_path: Path) -> None:
    (tmp_path / "metadata.csv").write_text("file_name,words\na.wav,one\n")
    (fault,) = hf.read(tmp_path)
    assert "metadata.csv: line 2: no text: has words; wants text, sentence" in str(fault)


def test_parquet_as_hugging_face_writes_it_is_read(tmp_path: Path) -> None:
    import pyarrow
    from pyarrow import parquet as file

    content = recording(tmp_path / "a.wav", 0.5).read_bytes()
    rows = [
        {"audio": {"bytes": content, "path": "x.wav"}, "sentence": "one", "speaker_id": 7},
        {"audio": {"bytes": None, "path": "a.wav"}, "sentence": "two", "speaker_id": 8},
        {"audio": None, "sentence": "three", "speaker_id": 9},
    ]
    (tmp_path / "data").mkdir()
    file.write_table(pyarrow.Table.from_pylist(rows), tmp_path / "data" / "train-0.parquet")
    first, second, fault = parquet.read(tmp_path, tmp_path)
    assert isinstance(first, Record) and isinstance(second, Record)
    assert [(r.id, r.text, r.speaker) for r in (first, second)] == [
        ("x.wav", "one", "7"),
        ("a.wav", "two", "8"),
    ]
    assert len(first.read()) == len(second.read()) == 4800
    assert "train-0.parquet: line 3: no recording" in str(fault)
