"""The training set of a run: what is refused before recordings are decoded."""

from __future__ import annotations

from pathlib import Path

import pytest

pytest.importorskip("torch")

from stream.engine import resources
from tests.train.run.corpus import minimal_command
from train import __main__


def test_recordings_that_a_container_has_no_memory_for_are_refused(
    minimal: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    own = tmp_path / "own"
    own.write_text("0::/\n")
    (tmp_path / "memory.max").write_text("1000\n")
    monkeypatch.setattr(resources, "GROUPS", own)
    monkeypatch.setattr(resources, "MOUNTED", tmp_path)
    assert __main__.main(minimal_command(minimal, tmp_path / "run")) == 2
    assert "Set data.cache to disk or none" in capsys.readouterr().err
