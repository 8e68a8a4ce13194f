"""Layers: what a key is from, through all files that extend each other, and overrides."""

from __future__ import annotations

from pathlib import Path

from train.config.layers import read_layers
from train.config.named import NAMED


def test_each_key_is_from_the_file_that_said_it_last(tmp_path: Path) -> None:
    (tmp_path / "below.toml").write_text('extends = "testing"\nseed = 3\n[optimiser]\nrate = 0.1\n')
    top = tmp_path / "top.toml"
    top.write_text('extends = "below.toml"\n[optimiser]\nwarmup = 5\n')
    layers = read_layers(top)
    layers.override("optimiser.hold=7")
    layers.override("loss.bag=0.5")
    from_file = {
        "optimiser.warmup": top,
        "optimiser.rate": tmp_path / "below.toml",
        "seed": tmp_path / "below.toml",
        "model.post_layers": NAMED["testing"],
        "model.hidden": NAMED["base"],
        "keep": top,  # nobody said it
    }
    assert {key: layers.where(key) for key in from_file} == {
        k: str(v) for k, v in from_file.items()
    }
    assert layers.where("optimiser.hold") == "--set optimiser.hold=7"
    assert layers.where("loss.bag.x") == "--set loss.bag=0.5"
    assert layers.tree["optimiser"]["rate"] == 0.1


def test_a_list_is_replaced_and_a_table_merged(tmp_path: Path) -> None:
    (tmp_path / "a.toml").write_text('[data]\ntrain = ["a", "b"]\ndev = "d"\n')
    (tmp_path / "b.toml").write_text('extends = "a.toml"\n[data]\ntrain = ["c"]\n')
    assert read_layers(tmp_path / "b.toml").tree["data"] == {"train": ["c"], "dev": "d"}


def test_null_takes_a_value_away_and_a_later_key_puts_a_table_there_again(tmp_path: Path) -> None:
    top = tmp_path / "top.toml"
    top.write_text('extends = "testing"\npatience = 3\n[init]\nmodel = "a"\n')
    layers = read_layers(top)
    layers.override("patience=null")
    layers.override("init=null")
    assert layers.tree["patience"] is None and layers.tree["init"] is None
    layers.override("init.model=b")
    assert layers.tree["init"] == {"model": "b"}
