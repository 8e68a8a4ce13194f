"""Files of records: what is appended is read, in pieces; a full disk is an error that says where."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from stream.errors import InputError
from stream.records.file import RecordFile

DTYPE = np.dtype([("key", "S4"), ("count", "<i8")])


def test_records_are_read_in_pieces_of_a_number_of_rows(tmp_path: Path) -> None:
    file = RecordFile(tmp_path / "a", DTYPE)
    file.extend([np.array([(b"a\0b", 1), (b"", 2)], DTYPE), np.array([(b"c", 3)], DTYPE)])
    assert file.count == 3
    pieces = list(file.pieces(2))
    assert [piece["count"].tolist() for piece in pieces] == [[1, 2], [3]]
    assert pieces[0]["key"].tolist() == [b"a\0b", b""]
    file.remove()
    assert not list(tmp_path.iterdir())


def test_an_empty_file_has_no_pieces(tmp_path: Path) -> None:
    assert list(RecordFile(tmp_path / "a", DTYPE).pieces()) == []


def test_a_full_disk_is_told_with_the_folder(tmp_path: Path) -> None:
    file = RecordFile(tmp_path / "a", DTYPE)
    file.path = Path("/dev/full")
    if not file.path.exists():
        pytest.skip("this system has no /dev/full")
    with pytest.raises(InputError, match=r"^/dev: cannot write .*: No space left .*--scratch"):
        file.append(np.zeros(1, DTYPE))
