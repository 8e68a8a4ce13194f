import sys
from pathlib import Path

import pytest

from stream.files.atomic import folder_beside, locked, replace_file, replace_json, replacing


def test_a_file_is_replaced_and_nothing_else_is_left(tmp_path: Path) -> None:
    path = tmp_path / "report.json"
    replace_file(path, b"old and longer")
    replace_file(path, b"new")
    assert path.read_bytes() == b"new"
    assert list(tmp_path.iterdir()) == [path]


def test_json_is_indented_and_ends_its_last_line(tmp_path: Path) -> None:
    path = tmp_path / "report.json"
    replace_json(path, {"wer": 0.25, "words": ["a"]})
    assert path.read_text() == '{\n "wer": 0.25,\n "words": [\n  "a"\n ]\n}\n'


def test_the_old_file_is_there_until_the_block_ends(tmp_path: Path) -> None:
    path = tmp_path / "last.pt"
    path.write_bytes(b"old")
    with replacing(path) as partial:
        partial.write_bytes(b"new")
        assert partial == tmp_path / "last.pt.partial"
        assert path.read_bytes() == b"old"
    assert path.read_bytes() == b"new"


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_a_block_that_raises_changes_nothing(tmp_path: Path, error: type[BaseException]) -> None:
    path = tmp_path / "last.pt"
    path.write_bytes(b"old")
    with pytest.raises(error), replacing(path) as partial:
        partial.write_bytes(b"half")
        raise error
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_file_that_cannot_be_renamed_is_removed(tmp_path: Path) -> None:
    path = tmp_path / "report.json"
    (path / "in the way").mkdir(parents=True)
    with pytest.raises(IsADirectoryError):
        replace_file(path, b"new")
    assert list(tmp_path.iterdir()) == [path]


def test_the_file_is_on_disk_before_it_gets_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, synced = tmp_path / "last.pt", []

    def fsync(descriptor: int) -> None:
        synced.append((Path(f"/proc/self/fd/{descriptor}").resolve(), path.exists()))

    monkeypatch.setattr("os.fsync", fsync)
    replace_file(path, b"new")
    assert synced == [(tmp_path / "last.pt.partial", False)]


def test_a_link_that_a_kill_left_behind_is_not_written_through(tmp_path: Path) -> None:
    kept, path = tmp_path / "update-000100.pt", tmp_path / "update-000200.pt"
    kept.write_bytes(b"kept")
    path.with_name(path.name + ".partial").hardlink_to(kept)
    replace_file(path, b"new")
    assert kept.read_bytes() == b"kept"
    assert path.read_bytes() == b"new"


def test_a_link_to_the_file_itself_is_not_left_behind(tmp_path: Path) -> None:
    path = tmp_path / "update-000100.pt"
    path.write_bytes(b"kept")
    with replacing(path) as partial:
        partial.hardlink_to(path)  # rename does nothing with two names of one file
    assert list(tmp_path.iterdir()) == [path]


def test_a_folder_is_made_beside_a_path_and_goes_with_the_block(tmp_path: Path) -> None:
    path = tmp_path / "missing" / "model"
    with folder_beside(path) as folder:
        assert folder.parent == tmp_path and folder.name.startswith(".model-")
        (folder / "model").mkdir()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such locks")
def test_folders_that_a_killed_process_left_are_removed_and_no_others(tmp_path: Path) -> None:
    path = tmp_path / "model"
    for name in (".model-left", ".model-used", ".models-other", "model"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "file").touch()
    (tmp_path / ".model-file").touch()
    with locked(tmp_path / ".model-used"), folder_beside(path):
        assert not (tmp_path / ".model-left").exists()
    expected = {".model-file", ".model-used", ".models-other", "model"}
    assert {each.name for each in tmp_path.iterdir()} == expected
