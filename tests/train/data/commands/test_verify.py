"""`verify` compares archives with published sums, says where those are from, and refuses to guess."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from train.data.__main__ import main
from train.data.corpora.sums import PUBLISHED

CONTENT = b"recordings"
SHA256 = hashlib.sha256(CONTENT).hexdigest()
MD5 = hashlib.md5(CONTENT).hexdigest()


@pytest.fixture
def archive(tmp_path: Path) -> Path:
    path = tmp_path / "corpus.tar.gz"
    path.write_bytes(CONTENT)
    return path


@pytest.mark.parametrize("given", [SHA256, SHA256.upper(), MD5])
def test_an_archive_that_is_as_published(
    given: str, archive: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["verify", str(archive), "--sum", given]) == 0
    name = "md5" if given == MD5 else "sha256"
    assert capsys.readouterr().out == f"{archive}: {name} {given.lower()}, as --sum says\n"


def test_a_list_has_sums_of_several_and_one_that_differs_is_named(
    archive: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    other = archive.with_name("other.tar.gz")
    other.write_bytes(b"cut off")
    sums = archive.with_name("md5sum.txt")
    sums.write_text(f"{MD5}  ./corpus.tar.gz\n{MD5} *other.tar.gz\n")
    assert main(["verify", str(archive), str(other), "--sums", str(sums)]) == 1
    printed = capsys.readouterr()
    assert printed.out == f"{archive}: md5 {MD5}, as {sums} says\n"
    assert printed.err.startswith(f"{other}: md5 is ") and f"{sums} says {MD5}" in printed.err


def test_a_truncated_download_of_a_known_archive_is_found(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "dev-clean.tar.gz"
    path.write_bytes(b"")
    assert main(["verify", str(path)]) == 1
    published = PUBLISHED["dev-clean.tar.gz"]
    assert f"{published.source} says {published.figures}" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("flags", "status", "message"),
    [
        ([], 2, "no sum of an archive of this name is known"),
        (["--sum", "123"], 2, "--sum: '123' is no sum"),
        (["--sum", "z" * 64], 2, "is no sum"),
        (["second.tar", "--sum", MD5], 2, "--sum is of one archive, and there are 2"),
        (["--sums", "{folder}/list"], 3, "line 2: expected SUM FILE; found 'nonsense'"),
    ],
)
def test_what_cannot_be_checked_is_said(
    flags: list[str],
    status: int,
    message: str,
    archive: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    (archive.parent / "list").write_text(f"{MD5}  a\nnonsense\n")
    given = [flag.replace("{folder}", str(archive.parent)) for flag in flags]
    assert main(["verify", str(archive), *given]) == status
    assert message in capsys.readouterr().err


def test_an_archive_that_is_not_there(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["verify", str(tmp_path / "none.tar"), "--sum", MD5]) == 3
    assert "no such file" in capsys.readouterr().err
