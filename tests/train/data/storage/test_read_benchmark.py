"""The benchmark of reading: counts are those of the files, errors are counted, no file is read twice."""

from __future__ import annotations

from pathlib import Path

import pytest

from train.data.storage.read_benchmark import list_files, measure, sweep
from train.data.storage.sources import S3Access, SourceError


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for number in range(6):
        path = tmp_path / "clips" / str(number % 2) / f"{number}.wav"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(bytes(100 + number))
    return tmp_path / "clips"


def test_a_folder_is_counted_to_the_byte(folder: Path) -> None:
    files = list_files(str(folder))
    assert [Path(f).name for f in files] == ["0.wav", "2.wav", "4.wav", "1.wav", "3.wav", "5.wav"]
    found = measure("mount", str(folder), files, workers=3)
    assert (found.files, found.bytes, found.errors) == (6, 615, 0)
    assert found.p50_ms is not None and found.p99_ms is not None
    assert 0 < found.p50_ms <= found.p99_ms
    assert found.files_per_second > 0 and found.megabytes_per_second > 0


def test_s3_is_counted_to_the_byte(s3: S3Access, bucket: str) -> None:
    files = list_files(f"s3://{bucket}/clips", s3)
    assert len(files) == 8
    found = measure("s3", f"s3://{bucket}/clips", files, workers=2, access=s3)
    assert (found.files, found.bytes, found.errors) == (8, 8028, 0)


def test_files_that_cannot_be_read_are_errors_with_a_reason(folder: Path, s3: S3Access) -> None:
    files = [*list_files(str(folder)), str(folder / "gone.wav")]
    found = measure("mount", str(folder), files, workers=2)
    assert (found.files, found.errors) == (6, 1)
    assert "gone.wav" in str(found.first_error)
    none = measure("s3", "s3://speech", ["s3://speech/gone"], workers=1, access=s3)
    assert (none.files, none.errors, none.p50_ms) == (0, 1, None)
    assert "NoSuchKey" in str(none.first_error)


def test_every_run_takes_other_files_and_says_when_it_cannot(folder: Path) -> None:
    runs = list(sweep([("a", str(folder)), ("b", str(folder))], [1, 2, 4], 3, seed=1))
    assert [(r.source, r.workers, r.files, r.again) for r in runs] == [
        ("a", 1, 3, 0), ("b", 1, 3, 0), ("a", 2, 3, 0), ("b", 2, 3, 0), ("a", 4, 3, 3), ("b", 4, 3, 3)
    ]  # fmt: skip
    assert runs[0].bytes == runs[1].bytes  # the same files of both, by the same seed
    assert runs[0].bytes + runs[2].bytes == 615


def test_a_source_without_files_is_refused(tmp_path: Path, s3: S3Access, bucket: str) -> None:
    with pytest.raises(SourceError, match="holds no file"):
        list_files(str(tmp_path))
    with pytest.raises(SourceError, match="no such folder"):
        list_files(str(tmp_path / "no"))
    with pytest.raises(SourceError, match="holds no file"):
        list_files(f"s3://{bucket}/other", s3)
    with pytest.raises(SourceError, match="NoSuchBucket"):
        list_files("s3://no-such-bucket/x", s3)
