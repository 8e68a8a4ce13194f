from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from server.rill.completion import bash, entries, fish, main, zsh


@pytest.fixture(scope="module")
def script() -> str:
    return bash(list(entries()))


def completed(script: str, *words: str, folder: Path | None = None) -> list[str]:
    """Return what bash offers for the last word."""
    line = f"""{script}
COMP_WORDS=({" ".join(f"'{word}'" for word in words)})
COMP_CWORD={len(words) - 1}
_rill
printf '%s\\n' "${{COMPREPLY[@]}}"
"""
    done = subprocess.run(["bash", "-u"], input=line, capture_output=True, text=True, cwd=folder)
    assert done.stderr == ""
    return done.stdout.split()


@pytest.mark.parametrize(
    ("words", "offered"),
    [
        (("rill", "tr"), ["transcribe", "train"]),
        (("rill", "--"), ["--help", "--version"]),
        (("rill", "export", ""), ["onnx", "hwckpt", "sherpa", "card", "bundle"]),
        (("rill", "export", "onnx", "--outp"), ["--output"]),
        (("rill", "transcribe", "--format", ""), ["text", "json", "jsonl", "srt", "vtt", "ctm"]),
        (("rill", "transcribe", "a.wav", "--format", "s"), ["srt"]),
        (("rill", "data", "prepare", "an"), ["an4"]),
        (("rill", "data", "prepare", "--dup"), ["--duplicates"]),
        (("rill", "completion", ""), ["bash", "zsh", "fish"]),
        (("rill", "transcribe", "ta"), []),  # the shell offers files
        (("rill", "transcribe", "--output", ""), []),
    ],
)
def test_bash_offers_commands_flags_and_choices(
    script: str, words: tuple[str, ...], offered: list[str]
) -> None:
    assert completed(script, *words) == offered


def test_zsh_runs_the_script_of_bash(script: str) -> None:
    assert zsh(list(entries())) == f"autoload -U +X bashcompinit && bashcompinit\n{script}"


def test_fish_knows_the_flags_of_a_command_and_the_choices_of_a_flag() -> None:
    lines = fish(list(entries())).splitlines()
    assert "complete -c rill -f -n __fish_use_subcommand -a mic " in "\n".join(lines)
    (form,) = (line for line in lines if "transcribe'" in line and "-l format " in line)
    assert "-x -a 'text json jsonl srt vtt ctm'" in form
    assert any("from export; and __fish_seen_subcommand_from onnx'" in line for line in lines)


def test_another_shell_exits_with_2() -> None:
    with pytest.raises(SystemExit) as exit_:
        main(["tcsh"])
    assert exit_.value.code == 2
