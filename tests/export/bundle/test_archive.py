"""Archives: the same bytes every time, and nothing in them that a model has not."""

from __future__ import annotations

import gzip
import io
import os
import shutil
import tarfile
from pathlib import Path

import pytest

from export.bundle import archive
from stream.errors import DifferenceError


def names(model: Path) -> list[str]:
    return sorted(path.name for path in model.iterdir())


def test_an_archive_has_the_same_bytes_every_time(model: Path, tmp_path: Path) -> None:
    archive.write(model, tmp_path / "one.tar.gz")
    copy = tmp_path / "elsewhere" / "tiny"
    copy.mkdir(parents=True)
    for name in reversed(names(model)):
        shutil.copyfile(model / name, copy / name)
        (copy / name).chmod(0o600)
        os.utime(copy / name, (1, 1))
    archive.write(copy, tmp_path / "two.tar.gz")
    assert (tmp_path / "one.tar.gz").read_bytes() == (tmp_path / "two.tar.gz").read_bytes()


def test_what_is_unpacked_is_what_was_packed(model: Path, tmp_path: Path) -> None:
    archive.write(model, tmp_path / "a.tar.gz")
    with archive.unpacked(tmp_path / "a.tar.gz") as again:
        assert again.name == "tiny" and names(again) == names(model)
        for name in names(model):
            assert (again / name).read_bytes() == (model / name).read_bytes()
    assert not again.exists()


def entry(name: str, kind: bytes = tarfile.REGTYPE, to: str = "") -> tarfile.TarInfo:
    made = tarfile.TarInfo(name)
    made.type, made.linkname = kind, to
    made.size = 4 if kind == tarfile.REGTYPE else 0
    return made


@pytest.mark.parametrize(
    ("entries", "fault"),
    [
        ([entry("../model.json")], "'../model.json' leads out of the folder"),
        ([entry("/tmp/model.json")], "leads out of the folder"),
        ([entry("a/../../model.json")], "leads out of the folder"),
        ([entry("a/model.json", tarfile.SYMTYPE, "/etc/passwd")], "is a link, to '/etc/passwd'"),
        ([entry("a/model.json", tarfile.LNKTYPE, "b")], "is a link, to 'b'"),
        ([entry("a/model.json", tarfile.FIFOTYPE)], "is neither an ordinary file nor a folder"),
        ([entry("a/model.json", tarfile.GNUTYPE_SPARSE)], "is neither an ordinary file"),
        ([entry("a/run.sh")], "'a/run.sh' is not a file of a model"),
        ([entry("model.json")], "is not a file of a model"),
        ([entry("a/b/model.json")], "is not a file of a model"),
        ([entry("a/b", tarfile.DIRTYPE)], "is a folder"),
        ([entry("a/model.json"), entry("b/README.md")], "'b/README.md' is not in the archive's one"),
        ([entry("a/model.json"), entry("a/model.json")], "'a/model.json' is there twice"),
        ([], "is empty"),
    ],
)  # fmt: skip
def test_an_entry_that_a_model_has_not_is_named_and_not_unpacked(
    entries: list[tarfile.TarInfo], fault: str, tmp_path: Path
) -> None:
    path = tmp_path / "bad.tar.gz"
    with tarfile.open(path, "w:gz") as tar:
        for each in entries:
            tar.addfile(each, io.BytesIO(b"four"))
    with pytest.raises(DifferenceError) as error, archive.unpacked(path):
        pass
    assert str(path) in str(error.value) and fault in str(error.value)


def test_a_small_archive_that_would_fill_the_disk_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "bomb.tar.gz"
    large = entry("a/encoder.onnx")
    large.size = 8 << 20
    with tarfile.open(path, "w:gz") as tar:
        tar.addfile(large, io.BytesIO(bytes(large.size)))
    with pytest.raises(DifferenceError, match="unpacks to more than"), archive.unpacked(path):
        pass


def test_damage_is_told_wherever_it_is(model: Path, tmp_path: Path) -> None:
    path = tmp_path / "a.tar.gz"
    archive.write(model, path)
    whole = path.read_bytes()
    for at in (0, 30, len(whole) // 2, len(whole) - 6):  # the last: its checksum
        path.write_bytes(whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :])
        with pytest.raises(DifferenceError, match=r"a\.tar\.gz"), archive.unpacked(path):
            pass
    for content in (whole[: len(whole) // 3], whole[:-3], b"", whole + gzip.compress(b"more")):
        path.write_bytes(content)
        with pytest.raises(DifferenceError, match=r"a\.tar\.gz"), archive.unpacked(path):
            pass
