"""The command line of `train.data`: its subcommands are a table, faults are messages."""

from __future__ import annotations

from pathlib import Path

import pytest

from train.data.__main__ import COMMANDS, build_parser, main


@pytest.mark.parametrize("name", COMMANDS)
def test_a_command_explains_itself(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="0"):
        build_parser().parse_args([name, "--help"])
    assert f"example: rill data {name} " in capsys.readouterr().out


def test_a_fault_of_a_file_is_a_message_and_status_3(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["rewrite", str(tmp_path / "none.jsonl"), "--from", "/a", "--to", "/b"]) == 3
    assert "none.jsonl" in capsys.readouterr().err
