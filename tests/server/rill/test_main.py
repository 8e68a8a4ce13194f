"""rill: its help, its table, and that a user's own files are never taken for a part of it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from server.rill.__main__ import main
from server.rill.commands import COMMANDS, commands, load, parser_of
from stream import __version__
from stream.bundled import recordings
from tests.places import REPOSITORY

Capture = pytest.CaptureFixture[str]
ENVIRONMENT = {**os.environ, "PYTHONPATH": str(REPOSITORY)}
SCRIPT = "import sys\nfrom server.rill.__main__ import script\nsys.exit(script())\n"


@pytest.fixture
def rill(tmp_path: Path) -> list[str]:
    """The command as an installation has it: a script, which has its own folder on its path."""
    script = tmp_path / "bin" / "rill"
    script.parent.mkdir()
    script.write_text(SCRIPT)
    return [sys.executable, str(script)]


def run(command: list[str], folder: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, cwd=folder, env=ENVIRONMENT, capture_output=True, text=True)


def test_help_lists_every_command_in_its_group(capsys: Capture) -> None:
    assert main([]) == 0
    text = capsys.readouterr().out
    for title, group in COMMANDS.items():
        assert f"\n{title}:\n" in text
        for words, command in group.items():
            assert f"  {words:<15}{command.summary}\n" in text
    assert main(["--help"]) == 0
    assert capsys.readouterr().out == text


def test_help_and_version_import_nothing_that_is_slow() -> None:
    code = """
import sys
from server.rill.__main__ import main
main(["--help"]), main(["--version"]), main(["export"])
print(sorted(sys.modules.keys() & {"numpy", "torch", "onnxruntime", "asyncio", "msgspec"}))
"""
    done = run([sys.executable, "-c", code], REPOSITORY)
    assert done.stdout.splitlines()[-1] == "[]", done.stderr


def test_the_version_is_that_of_the_package(capsys: Capture) -> None:
    assert main(["--version"]) == 0
    assert capsys.readouterr().out == f"rill {__version__}\n"


@pytest.mark.parametrize("words", commands())
def test_a_command_is_the_main_of_its_module_and_is_called_by_its_name(words: str) -> None:
    command = commands()[words]
    assert load(command).main.__module__ == command.module
    assert parser_of(command).prog == f"rill {words}"


def test_export_alone_lists_its_targets(capsys: Capture) -> None:
    for argv in (["export"], ["export", "--help"]):
        assert main(argv) == 0
        text = capsys.readouterr().out
        assert "export hwckpt" in text
        assert "transcribe  " not in text


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (["transcript"], "there is no command 'transcript'; did you mean 'transcribe'?"),
        (["export", "onx"], "there is no command 'export onx'; did you mean 'export onnx'?"),
        (["--quick"], "there is no command '--quick'\n"),
    ],
)
def test_what_is_no_command_exits_with_2(argv: list[str], message: str, capsys: Capture) -> None:
    assert main(argv) == 2
    assert message in capsys.readouterr().err


def test_the_status_is_that_of_the_command(tmp_path: Path, capsys: Capture) -> None:
    assert main(["show", str(tmp_path / "none.pt")]) == 3
    assert "none.pt" in capsys.readouterr().err


@pytest.mark.slow
def test_files_of_the_user_with_our_names_are_not_taken_for_ours(
    rill: list[str], tmp_path: Path
) -> None:
    folder = tmp_path / "mine"
    (folder / "server").mkdir(parents=True)
    for name in ("train.py", "stream.py", "export.py", "server/__init__.py"):
        (folder / name).write_text("raise SystemExit('the file of the user')")
    audio = str(recordings()[7].audio)
    assert run([*rill, "transcribe", audio], folder).stdout == "stop\n"
    assert run([*rill, "train", "--help"], folder).stdout.startswith("usage: rill train")
    serve = [*rill, "serve", "--port", "0", "--slots", "1", "--backend", "onnx"]
    with subprocess.Popen(
        serve, cwd=folder, env=ENVIRONMENT, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    ) as server:  # which starts an engine
        assert server.stdout is not None
        url = server.stdout.readline()
        server.terminate()
    assert url.startswith(b"ws://127.0.0.1:")
    taken = run([sys.executable, "-m", "server.client.transcribe", audio], folder)
    assert taken.stderr == "the file of the user\n"
