"""The commands and configurations on the pages for users of other systems are ones that there are."""

from __future__ import annotations

import argparse
import importlib
import re
import shlex
from pathlib import Path

import pytest
import yaml

from hwckpt.configuration import full_config
from stream.model.specification import Specification
from tests.places import REPOSITORY

pytest.importorskip("torch", reason="some commands' parsers need torch")

from train.config.file import load_config

PAGES = sorted((REPOSITORY / "docs").glob("from-*.md"))
COMMAND = re.compile(r"python -m ((?:train|stream|server|export|hwckpt)[.\w]*)([^`\n]*)")
COMMANDS = [
    pytest.param(module, options, id=f"{page.stem}: {module}{options[:60]}")
    for page in PAGES
    for module, options in COMMAND.findall(page.read_text())
]
CONFIGURATIONS = [
    pytest.param(block, id=f"{page.stem}-{number}")
    for page in PAGES
    for number, block in enumerate(re.findall(r"```toml\n(.*?)```", page.read_text(), re.DOTALL))
]


def parser_of(module: str) -> argparse.ArgumentParser:
    try:
        main = importlib.import_module(f"{module}.__main__")
    except ModuleNotFoundError:
        main = importlib.import_module(module)
    takes_environment = main.build_parser.__code__.co_argcount
    parser: argparse.ArgumentParser = main.build_parser(*([{}] if takes_environment else []))
    return parser


def test_there_are_pages_with_commands() -> None:
    assert len(PAGES) == 3
    assert len(COMMANDS) > 30


@pytest.mark.parametrize(("module", "options"), COMMANDS)
def test_a_command_takes_the_options_that_a_page_gives_it(module: str, options: str) -> None:
    words = shlex.split(options)
    parser = parser_of(module)
    if module == "train.data":
        subcommands = next(a for a in parser._actions if isinstance(a.choices, dict))
        assert isinstance(subcommands.choices, dict)
        parser = subcommands.choices[words.pop(0)]
    taken = {option for action in parser._actions for option in action.option_strings}
    assert {word for word in words if word.startswith("--")} <= taken


@pytest.mark.parametrize("content", CONFIGURATIONS)
def test_a_configuration_can_be_loaded(content: str, tmp_path: Path) -> None:
    theirs = tmp_path / "configs" / "base-8703sp_run.yaml"
    theirs.parent.mkdir()
    theirs.write_text(yaml.safe_dump(full_config(Specification(vocabulary=8703), "spm.model")))
    path = tmp_path / "run.toml"
    path.write_text(content)
    load_config(path)
