"""The pages: links lead somewhere, generated parts are not stale, and every block of code runs.

Blocks of shell run in a folder that holds what the pages name: recordings, manifests, models and a
configuration. `rill serve` runs beside the lines that follow it, on a port of its own.
"""

from __future__ import annotations

import argparse
import doctest
import json
import os
import re
import shlex
import shutil
import socket
import subprocess
import sys
from pathlib import Path

import msgspec
import numpy as np
import pytest
import soundfile
import yaml

from hwckpt.configuration import full_config
from server.config import Configuration
from server.rill.commands import commands, parser_of
from server.tokens.file import read_tokens
from stream.bundled import model_path, recordings
from stream.model.specification import Specification
from tests.documentation.pages import PAGES, Block, blocks, cases
from tests.generate_docs import PACKAGES
from tests.generate_docs import PAGES as GENERATED
from tests.places import REPOSITORY
from train.recipe.steps import Recipe

LINKING = [*PAGES, REPOSITORY / "CHANGELOG.md", *sorted(REPOSITORY.glob("models/*/README.md"))]
LANGUAGES = {
    "sh",
    "python",
    "pycon",
    "toml",
    "json",
    "yaml",
    "text",
    "mermaid",
    "c",
    "systemverilog",
}
COMMAND = re.compile(r"(?m)(?:^|`|\| )rill ((?:export )?[a-z-]+)((?:\\\n|[^`\n|#;&<>])*)")
INLINE = [
    pytest.param(words, options, id=f"{page.name}: {words}{options[:40]}")
    for page in PAGES
    if page.name != "cli.md"
    for words, options in COMMAND.findall(page.read_text())
]
IN_BLOCKS = [
    pytest.param(words, options, id=f"{block.page.name}:{block.line}: {words}{options[:40]}")
    for block in blocks()
    if block.language == "sh"
    for words, options in COMMAND.findall(block.text)
]
FOREIGN = ("error: externally-managed", "nvidia-", "signal 9")  # what pip and the kernel say
SYMPTOMS = [
    symptom
    for row in re.findall(
        r"(?m)^\| (.+?) \|", (REPOSITORY / "docs" / "troubleshooting.md").read_text()
    )
    for symptom in re.findall(r"`([^`]+)`", row)
    if not symptom.startswith((*FOREIGN, "http", "localhost", "MediaRecorder"))
]
# Programs that a machine may lack; the others must be there.
OPTIONAL = ("ffmpeg", "curl")
# `rill serve` as a shell of its own would run it: until the block ends, and ready before the next line.
PRELUDE = """
rill() {
    if [ "$1" != serve ]; then command rill "$@"; return; fi
    command rill "$@" > address &
    trap "kill $!; wait $!" EXIT
    until [ -s address ]; do kill -0 $!; sleep 0.05; done
}
"""


def anchors(page: str) -> set[str]:
    """Return the anchors that GitHub gives the headings of a page."""
    headings = re.findall(r"(?m)^#+ (.+)$", re.sub(r"```.*?```", "", page, flags=re.DOTALL))
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("path", LINKING, ids=lambda path: path.name)
def test_links_between_pages_lead_somewhere(path: Path) -> None:
    text = path.read_text()
    links = re.findall(r"\]\((?!https?:)([^)#]*)#?([^)]*)\)", text)
    links += [(link, "") for link in re.findall(r'(?:src|srcset|href)="(?!https?:)([^"]+)"', text)]
    assert [link for link, _ in links if not (path.parent / link).exists()] == []
    targets = [(path.parent / link if link else path, anchor) for link, anchor in links if anchor]
    assert [(page.name, a) for page, a in targets if a not in anchors(page.read_text())] == []


@pytest.mark.parametrize("name", GENERATED)
def test_a_generated_page_is_not_stale(name: str) -> None:
    pytest.importorskip("torch", reason="some commands' parsers need torch")
    is_current = (REPOSITORY / name).read_text() == GENERATED[name]()
    assert is_current, f"{name} is stale: run make docs"


def test_every_block_names_its_language() -> None:
    assert [block for block in blocks() if block.language not in LANGUAGES] == []


@pytest.mark.parametrize(("words", "options"), INLINE)
def test_a_command_of_rill_exists_and_takes_its_options(words: str, options: str) -> None:
    if any(name.startswith(f"{words} ") for name in commands()):
        return  # `rill export`, of which there are several
    parser = parser_of(commands()[words])
    subcommands = [a.choices for a in parser._actions if isinstance(a, argparse._SubParsersAction)]
    for word in options.split():
        parser = subcommands[0].get(word, parser) if subcommands else parser
    taken = {option for action in parser._actions for option in action.option_strings}
    assert set(re.findall(r"--[a-z0-9-]+", options)) <= taken


@pytest.mark.parametrize(("words", "options"), IN_BLOCKS)
def test_a_command_of_rill_in_a_block_has_all_that_it_requires(words: str, options: str) -> None:
    parser_of(commands()[words]).parse_args(shlex.split(options.replace("\\\n", " ")))


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.name)
def test_sessions_are_what_python_prints(path: Path) -> None:
    failed, _ = doctest.testfile(str(path), module_relative=False, optionflags=doctest.ELLIPSIS)
    assert failed == 0


@pytest.mark.parametrize("symptom", SYMPTOMS)
def test_a_symptom_is_what_the_code_says(symptom: str, sources: str) -> None:
    assert [part for part in symptom.split("…") if part.strip(" :;") not in sources] == []


@pytest.fixture(scope="module")
def sources() -> str:
    """All that can print a message, with strings of several lines in one piece."""
    files = [f for package in PACKAGES for f in sorted((REPOSITORY / package).rglob("*.py"))]
    text = "".join(file.read_text() for file in [*files, REPOSITORY / "Makefile"])
    return re.sub(r'"\s*\n\s*f?"', "", text)


@pytest.mark.parametrize("block", cases("python"))
def test_python_runs(block: Block) -> None:
    exec(compile(block.text, f"{block.page.name}:{block.line}", "exec"), {"__name__": "page"})


@pytest.mark.parametrize("block", cases("json", "yaml"))
def test_data_can_be_read(block: Block) -> None:
    assert json.loads(block.text) if block.language == "json" else yaml.safe_load(block.text)


TOKENS = '[desk]\nsha256 = "' + 64 * "0" + '"\n'


@pytest.mark.parametrize("block", cases("toml"))
def test_a_configuration_can_be_loaded(block: Block, tmp_path: Path) -> None:
    path, text = tmp_path / "file.toml", block.tested
    path.write_text(text)
    if "sha256 = " in text:
        assert read_tokens(path)
    elif text.startswith("port = "):
        (tmp_path / "tokens.toml").write_text(TOKENS)
        assert Configuration(["--config", str(path)], {}).options
    elif text.lstrip().startswith("stages = "):
        assert msgspec.toml.decode(text, type=Recipe).stages
    else:
        load_training(path, text)


def load_training(path: Path, text: str) -> None:
    """Load a configuration of training; one that extends nothing is a part of one."""
    pytest.importorskip("torch", reason="a configuration is checked by what trains")
    from train.config.file import load_config

    theirs = path.parent / "configs" / "base-8703sp_run.yaml"
    theirs.parent.mkdir()
    theirs.write_text(yaml.safe_dump(full_config(Specification(vocabulary=8703), "spm.model")))
    rest = path.with_name("rest.toml")
    rest.write_text('model = {}\ndata = { train = ["a.jsonl"], dev = "b.jsonl" }')
    path.write_text(text if "extends" in text else f'extends = "rest.toml"\n{text}')
    load_config(path)


@pytest.mark.slow
@pytest.mark.parametrize("block", cases("sh"))
def test_shell_runs(block: Block, desk: Path) -> None:
    for program in OPTIONAL:
        if re.search(rf"\b{program}\b", block.tested) and not shutil.which(program):
            pytest.skip(f"{program} is not installed")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    environment = {
        **os.environ,
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "HOME": str(desk),
        "RILL_PORT": port,
        "RILL_SLOTS": "4",
    }
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", PRELUDE + block.tested.replace("3030", port)],
        cwd=desk,
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, f"{block.tested}\n{done.stdout[-2000:]}{done.stderr[-2000:]}"


@pytest.fixture
def desk(tmp_path: Path) -> Path:
    """A folder with the files that the pages name."""
    few = [recording for recording in recordings() if recording.duration <= 2.4][:4]
    for folder in ("recordings", "noises", "calls/monday", "runs/hard", "runs/fr"):
        (tmp_path / folder).mkdir(parents=True)
    lines = []
    for index, recording in enumerate(few):
        copy = tmp_path / "recordings" / recording.audio.name
        shutil.copy(recording.audio, copy)
        copy.with_suffix(".txt").write_text(recording.text)
        lines.append(
            {
                "audio_filepath": f"recordings/{copy.name}",
                "text": recording.text,
                "duration": recording.duration,
                "speaker": f"s{index}",
            }
        )
    for name, part in (("mine", lines), ("all", lines), ("train", lines[:2]), ("dev", lines[2:])):
        (tmp_path / f"{name}.jsonl").write_text("".join(f"{json.dumps(x)}\n" for x in part))
    samples, rate = soundfile.read(few[0].audio, dtype="int16")
    soundfile.write(tmp_path / "calls" / "monday" / "1.wav", samples, rate)
    for name in ("talk.flac", "recording.flac"):
        shutil.copy(few[0].audio, tmp_path / name)
    if ffmpeg := shutil.which("ffmpeg"):
        convert = [ffmpeg, "-loglevel", "error", "-i", "talk.flac", "talk.m4a"]
        subprocess.run(convert, cwd=tmp_path, check=True)
    noise = np.random.default_rng(0).normal(scale=0.01, size=16_000)
    soundfile.write(tmp_path / "noises" / "white.wav", noise, 16_000)
    shutil.copy(model_path() / "tokenizer.model", tmp_path)
    for model in ("models/en-commands", "best.pt", "runs/hard/best.pt", "runs/fr/best.pt"):
        (tmp_path / model).parent.mkdir(exist_ok=True)
        (tmp_path / model).symlink_to(model_path())
    shutil.copytree(model_path(), tmp_path / "models" / "mine")
    (tmp_path / "mine.md").write_text("It knows what it was trained on.")
    return tmp_path
