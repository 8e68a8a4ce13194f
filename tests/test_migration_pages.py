"""Commands on the pages for users of other systems can be parsed; configurations, there and on those about training, loaded."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest
import yaml

from hwckpt.configuration import full_config
from server.rill.commands import commands, parser_of
from stream.model.specification import Specification
from tests.places import REPOSITORY

pytest.importorskip("torch", reason="some commands' parsers need torch")

from train.config.file import load_config

PAGES = sorted((REPOSITORY / "docs").glob("from-*.md"))
COMMAND = re.compile(r"(?m)(?:^|`)rill ((?:export )?[a-z]+)([^`\n]*)")
COMMANDS = [
    pytest.param(words, options, id=f"{page.stem}: {words}{options[:60]}")
    for page in PAGES
    for words, options in COMMAND.findall(page.read_text())
]
CONFIGURATIONS = [
    pytest.param(block, id=f"{page.stem}-{number}")
    for page in [
        *PAGES,
        *sorted((REPOSITORY / "docs").glob("training*.md")),
        REPOSITORY / "docs" / "data.md",
    ]
    for number, block in enumerate(re.findall(r"```toml\n(.*?)```", page.read_text(), re.DOTALL))
]


def test_there_are_pages_with_commands() -> None:
    assert len(PAGES) == 3
    assert len(COMMANDS) > 30


@pytest.mark.parametrize(("words", "options"), COMMANDS)
def test_a_page_gives_a_command_all_that_it_requires(words: str, options: str) -> None:
    if "…" not in options:
        parser_of(commands()[words]).parse_args(shlex.split(options))


@pytest.mark.parametrize("content", CONFIGURATIONS)
def test_a_configuration_can_be_loaded(content: str, tmp_path: Path) -> None:
    theirs = tmp_path / "configs" / "base-8703sp_run.yaml"
    theirs.parent.mkdir()
    theirs.write_text(yaml.safe_dump(full_config(Specification(vocabulary=8703), "spm.model")))
    path = tmp_path / "run.toml"
    (tmp_path / "rest.toml").write_text(
        'model = {}\ndata = { train = ["a.jsonl"], dev = "b.jsonl" }'
    )
    path.write_text(content if "extends" in content else f'extends = "rest.toml"\n{content}')
    load_config(path)
