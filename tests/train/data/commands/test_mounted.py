"""`mounted` prints facts on stdout, faults on stderr, and says by its exit status which there were."""

from __future__ import annotations

from pathlib import Path

import pytest

from train.data.__main__ import main
from train.data.storage import mounts


@pytest.fixture
def mount(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that the table of mounts calls an NFS mount, with one recording."""
    folder = tmp_path / "mnt"
    folder.mkdir()
    (folder / "a.wav").write_bytes(b"RIFF")
    table = tmp_path / "mountinfo"
    table.write_text(
        f"27 1 254:1 / / rw - ext4 /dev/vda1 rw\n9 27 0:4 / {folder} ro - nfs4 h:/x ro\n"
    )
    monkeypatch.setattr(mounts, "MOUNTS", table)
    return folder


def test_a_mount_that_is_as_it_should_be(mount: Path, capsys: pytest.CaptureFixture[str]) -> None:
    manifest = mount.parent / "train.jsonl"
    manifest.write_text(f'{{"audio_filepath": "{mount}/a.wav", "text": "a", "duration": 1}}\n')
    assert main(["mounted", str(mount), "--cuts", str(manifest)]) == 0
    printed = capsys.readouterr()
    assert f"{mount} is the mount {mount}: nfs4, of h:/x, read-only." in printed.out
    assert printed.err == ""


def test_what_is_wrong_is_a_sentence_on_stderr(
    mount: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    manifest = mount.parent / "train.jsonl"
    manifest.write_text('{"audio_filepath": "/nfs/a.wav", "text": "a", "duration": 1}\n')
    assert main(["mounted", str(mount), "--cuts", str(manifest)]) == 1
    assert "rewrite --from /nfs --to" in capsys.readouterr().err


def test_a_manifest_that_cannot_be_read_is_an_input_error(mount: Path, tmp_path: Path) -> None:
    assert main(["mounted", str(mount), "--cuts", str(tmp_path / "no")]) == 3
    (tmp_path / "empty.jsonl").write_text("{}\n")
    assert main(["mounted", str(mount), "--cuts", str(tmp_path / "empty.jsonl")]) == 3
    assert main(["mounted", str(mount), "--lines", "0"]) == 2
