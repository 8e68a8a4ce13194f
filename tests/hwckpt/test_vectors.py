"""The command that writes vectors."""

from __future__ import annotations

from pathlib import Path

import pytest

from hwckpt import vectors
from hwckpt.conformance import models


@pytest.mark.slow
def test_the_files_are_counted_with_the_list_of_their_hashes(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "made" / "here"
    assert vectors.main(["--output", str(folder), "--seed", "3"]) == 0
    count = len(list(folder.iterdir()))
    assert capsys.readouterr().out.startswith(f"{folder}: {count} files, ")


def test_without_the_bundled_model_the_status_is_3(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(models, "model_path", lambda: tmp_path / "none")
    assert vectors.main(["--output", str(tmp_path)]) == 3
    assert "tokenizer.model" in capsys.readouterr().err
