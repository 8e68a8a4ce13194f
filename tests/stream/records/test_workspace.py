"""Temporary files are where they are wanted, and gone afterwards."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from stream.records.workspace import Workspace, workspace

DTYPE = np.dtype([("key", "<i8")])


def test_the_folder_is_beside_a_file_and_goes_even_after_an_interruption(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt), workspace(tmp_path / "lm.binary") as space:
        space.file("a", DTYPE).append(np.zeros(5, DTYPE))
        assert space.folder.parent == tmp_path
        raise KeyboardInterrupt
    assert not list(tmp_path.iterdir())


def test_files_of_the_same_name_do_not_meet() -> None:
    with workspace() as space:
        assert space.file("a", DTYPE).path != space.file("a", DTYPE).path
    assert not space.folder.exists()


def test_what_is_read_is_shown(tmp_path: Path) -> None:
    lines: list[str] = []
    space = Workspace(tmp_path, show=lines.append)
    pieces = [np.zeros(2, DTYPE), np.zeros(1, DTYPE)]
    assert len(list(space.shown(pieces, "sorting", 3))) == 2
    assert lines == ["sorting: 2 of 3", "sorting: 3 of 3"]
