"""An index of lines has the records, and the faults, of a reader that takes one line after the other."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stream.manifest import ManifestError
from train.data.formats.table import read_records
from train.data.lazy import lines
from train.data.lazy.index import Index
from train.data.lazy.index_cache import index_of
from train.data.records.record import Record

PLAIN = '{"audio_filepath": "a.wav", "text": "one", "duration": 1.5}'
LINES = [
    PLAIN,
    '{"audio_filepath": "b.wav", "text": "two é", "duration": 2, "corpus": "x", "speaker": "s"}',
    '{"audio_filepath": "c.wav", "text": "", "duration": 0.5, "offset": 1.25, "channel": 1}',
    '{"audio_filepath": "d.wav", "text": "d", "duration": 3.5, "lang": "fr", "mos": [1, {"a": 2}]}',
    '{"audio_filepath": "e.wav", "text": "one two", "duration": 1, "words": [["one", 0, 1], ["two"]]}',
    '{"audio_filename": "f.wav", "normalized_text": "six", "duration": 6}',
    '{"audio_filepath": "g.wav", "text": "g", "duration": 1, "start": null, "channels": 2}',
    '{"audio_filepath": "h.wav", "text": "h", "duration": 1, "start": 3}',
    '{"audio_filepath": "i.wav", "text": "i", "duration": 0}',
    '{"audio_filepath": "j.wav", "text": "j", "duration": 1, "offset": -1}',
    '{"audio_filepath": "k.wav", "text": 5, "duration": 1}',
    '{"audio_filepath": "l.wav", "text": "l"',
    "\ufeff" + PLAIN,
    "",
    "  ",
    PLAIN + "\r" + PLAIN,
    PLAIN + "\r",
]


def both(path: Path) -> tuple[Index, list[Record], list[str]]:
    """Return the index of a manifest, and what a reader makes of it."""
    found = list(read_records(str(path), "manifest"))
    index = index_of(str(path), "manifest", cache=path.parent / "cache")
    records = [each for each in found if isinstance(each, Record)]
    return index, records, [str(each) for each in found if isinstance(each, ManifestError)]


@settings(max_examples=80, deadline=None)
@given(
    chosen=st.lists(st.sampled_from(LINES), max_size=12),
    block=st.sampled_from([1, 150, 400, 1 << 20]),
    ended=st.booleans(),
)
def test_records_and_faults_are_those_of_the_reader(
    chosen: list[str], block: int, ended: bool, tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = tmp_path_factory.mktemp("lines") / "set.jsonl"
    path.write_bytes(("\n".join(chosen) + "\n" * ended).encode())
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(lines, "BLOCK", block)
        index, records, faults = both(path)
    assert [index[number] for number in range(len(index))] == records
    assert index.faults() == faults
    assert index.about.timed == sum(bool(record.words) for record in records)
    names = {record.corpus or "" for record in records}
    assert dict(index.about.corpora) == {
        name: sum((record.corpus or "") == name for record in records) for name in names
    }


@pytest.mark.parametrize("at", range(len(LINES)))
def test_many_lines_of_which_one_is_odd(at: int, tmp_path: Path) -> None:
    path = tmp_path / "set.jsonl"
    plain = [json.dumps({**json.loads(PLAIN), "duration": 1 + n / 10}) for n in range(40)]
    path.write_text("\n".join([*plain[:20], LINES[at], *plain[20:]]) + "\n")
    index, records, faults = both(path)
    assert [index[number] for number in range(len(index))] == records
    assert index.faults() == faults


def test_a_plain_block_is_decoded_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lines, "_one_by_one", lambda *_: pytest.fail("read line by line"))
    path = tmp_path / "set.jsonl"
    path.write_text("\n".join(LINES[:5] + LINES[6:7]))
    (block,) = lines.scanned(path)
    assert block.begins.tolist() == [
        0,
        *(path.read_bytes().index(f'"{c}.w'.encode()) - 19 for c in "bcdeg"),
    ]
    assert (block.count, block.timed, block.names) == (6, 1, ["", "x"])


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (f"{PLAIN}\n{PLAIN}\n\xff\n".encode("latin-1"), "line 3: byte 0xFF is not part"),
        (f"{PLAIN}\n".encode("utf-16"), "line 1: is UTF-16; save it as UTF-8"),
        (b"[\n" + PLAIN.encode() + b"]", "set.jsonl: is a JSON list, wants one object a line"),
    ],
)
def test_a_file_that_is_no_manifest_is_refused_with_its_line(
    content: bytes, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lines, "BLOCK", 70)
    (tmp_path / "set.jsonl").write_bytes(content)
    with pytest.raises(ManifestError, match=message):
        index_of(str(tmp_path / "set.jsonl"), "manifest", cache=tmp_path / "cache")


def test_a_manifest_that_changes_under_its_index_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "set.jsonl"
    path.write_text(PLAIN + "\n")
    index = index_of(str(path), cache=tmp_path / "cache")
    path.write_text(PLAIN.replace("1.5", "2.5") + "\n")
    os.utime(path, (1, 1))
    with pytest.raises(ManifestError, match="changed since it was indexed; start again"):
        Index(index.folder)
    assert index_of(str(path), cache=tmp_path / "cache")[0].duration == 2.5


def test_a_line_that_changes_during_a_run_is_named(tmp_path: Path) -> None:
    path = tmp_path / "set.jsonl"
    path.write_text(f"{PLAIN}\n{PLAIN}\n")
    index = index_of(str(path), cache=tmp_path / "cache")
    with path.open("r+b") as file:
        file.seek(len(PLAIN) + 1)
        file.write(b"xxxx")
    assert index[0].text == "one"
    with pytest.raises(
        ManifestError, match="set.jsonl: line 2: changed since it was indexed; start again"
    ):
        index[1]


def test_a_line_may_be_longer_than_what_is_read_at_once(tmp_path: Path) -> None:
    path = tmp_path / "set.jsonl"
    long = json.dumps({**json.loads(PLAIN), "text": "é" * 50_000})
    path.write_text(f"{PLAIN}\n{long}\n{long}")
    index, records, _ = both(path)
    assert [index[number] for number in range(3)] == records
