"""Lhotse Shar: what Lhotse writes is read, what we write Lhotse reads, and faults have their line."""

from __future__ import annotations

import gc
import gzip
import json
import tarfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from stream.manifest import ManifestError
from tests.train.data.formats.sets import records
from train.data.formats import cuts, shar
from train.data.formats.shards import add_member
from train.data.formats.table import detect, files_of, read_records
from train.data.lazy.index_cache import index_of
from train.data.records.record import strict


def by_lhotse(folder: Path) -> Path:
    """Write three records as cuts, and have Lhotse write them as Shar, two cuts in a file."""
    lhotse = pytest.importorskip("lhotse")
    cuts.write(records(folder / "audio"), folder / "cuts.jsonl")
    (folder / "shar").mkdir()
    lhotse.CutSet.from_file(folder / "cuts.jsonl").to_shar(
        folder / "shar", fields={"recording": "flac"}, shard_size=2
    )
    return folder / "shar"


@pytest.mark.parametrize("named", ["folder", "lists"])
def test_what_lhotse_writes_is_read_at_its_place(named: str, tmp_path: Path) -> None:
    given = records(tmp_path / "audio")
    folder = by_lhotse(tmp_path)
    path = str(folder if named == "folder" else folder / "cuts.{000000..000001}.jsonl.gz")
    assert detect(path) == "shar"
    assert [file.name for file in files_of(path, "shar")] == [
        *("cuts.000000.jsonl.gz", "recording.000000.tar"),
        *("cuts.000001.jsonl.gz", "recording.000001.tar"),
    ]
    found = list(strict(read_records(path)))
    assert [r.text for r in found] == [r.text for r in given]
    assert [r.speaker for r in found] == ["s1", "s2", None]
    for record, want in zip(found, given, strict=True):
        np.testing.assert_allclose(record.read(), want.read(), atol=1 / 32768)
    assert len(index_of(path, cache=tmp_path / "cache")) == 3


@pytest.mark.filterwarnings("ignore::ResourceWarning")  # Lhotse leaves the tar files open
def test_lhotse_reads_what_we_write(tmp_path: Path) -> None:
    lhotse = pytest.importorskip("lhotse")
    given = records(tmp_path / "audio")
    assert shar.write(iter(given), tmp_path / "out") == 3
    found = list(lhotse.CutSet.from_shar(in_dir=tmp_path / "out"))
    gc.collect()
    assert [cut.supervisions[0].text for cut in found] == [record.text for record in given]
    for cut, record in zip(found, given, strict=True):
        np.testing.assert_allclose(cut.load_audio()[0], record.read(), atol=1 / 32768)


def changed(folder: Path, change: Any) -> Path:
    shar.write(iter(records(folder / "audio")), folder / "out")
    listed = folder / "out" / "cuts.000000.jsonl.gz"
    lines = [json.loads(line) for line in gzip.decompress(listed.read_bytes()).splitlines()]
    change(lines)
    listed.write_bytes(gzip.compress("\n".join(map(json.dumps, lines)).encode()))
    return folder / "out"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            lambda lines: lines[1].update(id="x"),
            "line 2: cut x has the recording of s2/b beside it",
        ),
        (lambda lines: lines[1].update(supervisions=[]), "line 2: .* no supervision with a text"),
        (lambda lines: lines[1].update(transforms=[{"name": "x"}]), "line 2: cut s2/b has transf"),
    ],
)
def test_a_cut_that_cannot_be_used_is_named_and_the_next_one_read(
    change: Any, message: str, tmp_path: Path
) -> None:
    first, fault, last = shar.read(changed(tmp_path, change))
    assert isinstance(fault, ManifestError)
    with pytest.raises(ManifestError, match=message):
        raise fault
    assert not isinstance(first, ManifestError) and not isinstance(last, ManifestError)


def test_a_cut_without_a_recording_is_named(tmp_path: Path) -> None:
    folder = changed(tmp_path, lambda lines: lines.pop())
    with tarfile.open(folder / "recording.000000.tar", "w") as tar:
        for name in ("s1/a.nodata", "s1/a.nometa", "s2/b.nodata"):
            add_member(tar, name, b"")
    with pytest.raises(ManifestError, match="line 1: cut s1/a has no recording"):
        raise next(shar.read(folder))  # type: ignore[misc]
    with pytest.raises(ManifestError, match=r"000000.tar: s2/b.nodata has no manifest behind it"):
        list(shar.read(folder))
    with tarfile.open(folder / "recording.000000.tar", "w") as tar:
        pass
    with pytest.raises(ManifestError, match=r"000000.tar: ends before the cut of .*: line 1"):
        list(shar.read(folder))
