"""The command that writes vectors."""

from __future__ import annotations

from pathlib import Path

import pytest

from hwckpt import vectors


@pytest.mark.slow
def test_the_files_are_counted_with_the_list_of_their_hashes(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "made" / "here"
    assert vectors.main(["--output", str(folder), "--seed", "3"]) == 0
    count = len(list(folder.iterdir()))
    assert capsys.readouterr().out.startswith(f"{folder}: {count} files, ")
