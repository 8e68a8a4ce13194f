"""The configurations that ship, found by name: Myrtle's sizes, and three sizes of Conformers."""

from __future__ import annotations

import math
from pathlib import Path

import pytest

from train.config.file import load_config
from train.config.named import NAMED
from train.config.run import ConfigError

# NUMERICS 3.5: pieces, and parameters as Myrtle counts them.
PARAMETERS = {
    "testing": (1023, 49_006_080),
    "base": (8703, 84_690_432),
    "large": (17407, 195_590_400),
}

# Millions of parameters with as many pieces as they ask for, and of the encoder.
CONFORMERS = {"conformer-s": (12, 10), "conformer-m": (32, 30), "conformer-l": (174, 165)}


def test_the_shipped_names_are_those_of_the_table() -> None:
    assert NAMED.keys() == PARAMETERS.keys() | CONFORMERS.keys()


@pytest.mark.parametrize("name", PARAMETERS)
def test_five_lines_and_a_name_give_a_model_of_myrtles_size(name: str, tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text(f'extends = "{name}"\n\n[data]\ntrain = ["train.jsonl"]\ndev = "dev.jsonl"\n')
    config = load_config(path)
    pieces, parameters = PARAMETERS[name]
    assert config.data.pieces == pieces
    shapes = config.specification(pieces).shapes()
    weights = sum(
        math.prod(shape) for key, shape in shapes.items() if not key.startswith("normaliser.")
    )
    assert weights == parameters
    factor = 1.0 if pieces == 1023 else 1.0 / math.sqrt(pieces / 1024)
    assert config.optimiser.joint_factor == pytest.approx(factor, abs=1e-3)


@pytest.mark.parametrize("name", CONFORMERS)
def test_a_conformer_has_the_size_that_its_file_says(name: str) -> None:
    config = load_config(name, ["data.train=['a.jsonl']", "data.dev=b.jsonl"])
    specification = config.specification(config.data.pieces)
    sizes = [
        sum(map(math.prod, each.shapes().values())) / 1e6
        for each in (specification, specification.encoder)
    ]
    assert tuple(map(round, sizes)) == CONFORMERS[name]
    assert specification.heads == ("transducer", "ctc")


def test_a_name_is_a_configuration_wherever_one_is_named(tmp_path: Path) -> None:
    settings = ["data.train=['a.jsonl']", "data.dev=b.jsonl"]
    by_name = load_config("base", settings)
    assert by_name == load_config(NAMED["base"], settings)
    with pytest.raises(ConfigError, match="basis: no such configuration; by name there are base, "):
        load_config("basis")
    (tmp_path / "run.toml").write_text('extends = "bigger"\n')
    with pytest.raises(ConfigError, match="bigger: no such configuration; by name there are base"):
        load_config(tmp_path / "run.toml")
