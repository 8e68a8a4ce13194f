from __future__ import annotations

import os
import pty
import select
import shutil
import subprocess
import time
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
        (("rill", "export", ""), ["onnx", "hwckpt", "hardware", "sherpa", "card", "bundle"]),
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


def typed_into_zsh(folder: Path, line: str, shows: str) -> str:
    """Return what a terminal of zsh shows when a line and a tab are typed, as soon as it shows something."""
    (folder / "rill.zsh").write_text(zsh(list(entries())))
    terminal, its = pty.openpty()
    environment = os.environ | {"TERM": "dumb", "HOME": str(folder), "PS1": ""}
    shell = subprocess.Popen(
        ["zsh", "-f", "-i"],
        stdin=its,
        stdout=its,
        stderr=its,
        cwd=folder,
        env=environment,
        start_new_session=True,
    )
    os.close(its)
    shown = ""

    def wait_for(text: str) -> None:
        nonlocal shown
        end = time.monotonic() + 20
        while text not in shown and time.monotonic() < end:
            if select.select([terminal], [], [], 0.2)[0]:
                shown += os.read(terminal, 65536).decode(errors="replace")

    os.write(terminal, b"autoload -U compinit; compinit -u; source rill.zsh; echo LOA''DED\n")
    wait_for("LOADED")
    os.write(terminal, line.encode() + b"\t")
    wait_for(shows)
    shell.kill()
    shell.wait()
    os.close(terminal)
    return shown


@pytest.mark.skipif(shutil.which("zsh") is None, reason="zsh is not installed")
@pytest.mark.parametrize(
    ("line", "shows"),
    [
        ("rill mi", "rill mic "),
        ("rill export onnx --outp", "rill export onnx --output "),
        ("rill transcribe --format js", "rill transcribe --format json"),
    ],
)
def test_zsh_completes_what_is_typed(tmp_path: Path, line: str, shows: str) -> None:
    assert shows in typed_into_zsh(tmp_path, line, shows)


@pytest.mark.skipif(shutil.which("fish") is None, reason="fish is not installed")
@pytest.mark.parametrize(
    ("line", "offered"),
    [
        ("rill tr", ["train", "transcribe"]),
        ("rill export onnx --outp", ["--output"]),
        ("rill transcribe --format s", ["srt"]),
        ("rill data prepare an", ["an4"]),
    ],
)
def test_fish_completes_what_is_typed(tmp_path: Path, line: str, offered: list[str]) -> None:
    (tmp_path / "rill.fish").write_text(fish(list(entries())))
    done = subprocess.run(
        ["fish", "--no-config", "-c", f"source rill.fish; complete -C '{line}'"],
        cwd=tmp_path,
        env=os.environ | {"HOME": str(tmp_path)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stderr == ""
    assert [each.split("\t")[0] for each in done.stdout.splitlines()] == offered


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
