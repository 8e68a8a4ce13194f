"""docs/recipes.md: what it says can be set can be set, by the name that it says."""

from __future__ import annotations

import re

import pytest

from tests.places import REPOSITORY

pytest.importorskip("torch")

from train.config.file import load_config
from train.recipe.knobs import VARIABLES, of_environment

PAGE = (REPOSITORY / "docs" / "recipes.md").read_text()
SETTINGS = sorted(set(re.findall(r"--set (\S+?)[`,]", PAGE)))
ASSIGNED = sorted(set(re.findall(r"`(RILL_\w+)=(\S+?)`", PAGE)))


@pytest.mark.parametrize("setting", SETTINGS)
def test_a_key_can_be_set(setting: str) -> None:
    assert load_config(REPOSITORY / "configs" / "en-commands.toml", [setting])


@pytest.mark.parametrize(("variable", "value"), ASSIGNED)
def test_a_variable_is_that_of_a_key(variable: str, value: str) -> None:
    assert variable not in VARIABLES.values()
    (setting,) = of_environment({variable: value})
    assert load_config(REPOSITORY / "configs" / "en-commands.toml", [setting])


def test_every_row_says_where_it_is_here() -> None:
    rows = re.findall(r"(?m)^\| (.*) \|$", PAGE)
    assert len(SETTINGS) == 5 and len(ASSIGNED) == 5
    assert len(rows) > 35 and all(row.count(" | ") == 1 for row in rows)
