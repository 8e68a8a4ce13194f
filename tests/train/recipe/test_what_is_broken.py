"""What is broken in a recipe or its record is named, and nothing is run."""

from __future__ import annotations

from pathlib import Path

import pytest

from train.recipe.__main__ import main

RECIPE = Path(__file__).parent / "greek"


@pytest.fixture(autouse=True)
def variables(monkeypatch: pytest.MonkeyPatch) -> None:
    """Restore what the command sets."""
    for name in ("RILL_RECIPE", "RILL_DATA", "RILL_OUTPUT"):
        monkeypatch.setenv(name, "")


@pytest.mark.parametrize("content", ["", '{"rill train":', '{"rill train": {"seconds": 3}}'])
def test_a_record_that_cannot_be_read_is_named(
    content: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    record = tmp_path / "steps.json"
    record.write_text(content)
    assert main([str(RECIPE), "--output", str(tmp_path), "--list"]) == 3
    error = capsys.readouterr().err
    assert error.startswith(f"error: {record}: ") and "remove it to run all steps" in error


@pytest.mark.parametrize(
    ("command", "what"),
    [
        ("rill data check {mode}", "'mode'"),
        ("rill data check {model.path}", "no attribute 'path'"),
        ("rill data check {model", "expected '}'"),
        ("rill data check {}", "index 0"),
    ],
)
def test_braces_that_name_nothing_are_shown_with_their_command(
    command: str, what: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text = (RECIPE / "recipe.toml").read_text().replace("before = [", f'before = ["{command}",')
    folder = tmp_path / "greek"
    folder.mkdir()
    for file in RECIPE.iterdir():
        if file.is_file():
            (folder / file.name).write_bytes(file.read_bytes())
    (folder / "recipe.toml").write_text(text)
    assert main([str(folder), "--output", str(tmp_path / "out"), "--list"]) == 2
    error = capsys.readouterr().err
    assert error.startswith(f"error: {command!r}: ") and what in error
    assert "braces name model, checkpoint, output" in error
