"""Keys by other names: read in files, in overrides and in what runs have kept."""

from __future__ import annotations

from pathlib import Path

import pytest

from train.checkpoints.resume import differences
from train.config.file import load_config
from train.config.renamed import current
from train.config.run import ConfigError

CONFIG = """
[model]
hidden = 16
[data]
train = ["a.jsonl"]
dev = "b.jsonl"
tokenizer = "t.model"
statistics = "s.npz"
{more}
[batches]
[augmentation]
"""


def written(folder: Path, more: str) -> Path:
    path = folder / "run.toml"
    path.write_text(CONFIG.format(more=more))
    return path


@pytest.mark.parametrize(
    ("old", "new"), [("identity", "as-is"), ("lowercase", "lowercase"), ("v1.4", "v1.4")]
)
def test_an_old_key_means_the_new_one(tmp_path: Path, old: str, new: str) -> None:
    assert load_config(written(tmp_path, f'normalise = "{old}"')).data.text == new
    assert load_config(written(tmp_path, ""), [f"data.normalise={old}"]).data.text == new


def test_an_override_by_either_name_wins(tmp_path: Path) -> None:
    path = written(tmp_path, 'normalise = "lowercase"')
    assert load_config(path, ["data.text=lower"]).data.text == "lower"
    assert load_config(path, ["data.normalise=scrub"]).data.text == "scrub"


def test_both_names_in_a_file_are_refused(tmp_path: Path) -> None:
    path = written(tmp_path, 'normalise = "lowercase"\ntext = "lower"')
    with pytest.raises(ConfigError, match=r"run.toml: data.normalise is another name of data.text"):
        load_config(path)


def test_what_a_run_kept_under_an_old_key_is_no_difference(tmp_path: Path) -> None:
    config = load_config(written(tmp_path, 'text = "lowercase"'))
    kept = {
        "model": {"hidden": 16},
        "batches": {},
        "augmentation": {},
        "data": {"train": ["a.jsonl"]},
    }
    kept["data"] |= {"dev": "b.jsonl", "tokenizer": "t.model", "statistics": "s.npz"}
    assert differences({**kept, "data": kept["data"] | {"normalise": "lowercase"}}, config) == []
    assert differences({**kept, "data": kept["data"] | {"normalise": "identity"}}, config) == [
        "data.text: as-is -> lowercase"
    ]
    assert current(kept) == kept


def test_myrtles_names_are_keys_of_a_file_and_of_overrides(tmp_path: Path) -> None:
    path = written(tmp_path, "")
    path.write_text("WARMUP_STEPS = 1632\nEPOCHS = 150\n" + path.read_text())
    config = load_config(path)
    assert (config.optimiser.warmup, config.epochs, config.updates) == (1632, 150.0, None)
    overrides = ("LEARNING_RATE=0.004", "MIN_LEARNING_RATE=4e-4", "WARMUP_STEPS=1700")
    overrides += ("HOLD_STEPS=0", "HALF_LIFE_STEPS=2805", "TRAINING_STEPS=90000")
    config = load_config(path, [*overrides, "SAVE_FREQUENCY=1", "SAVE_MILESTONES=10 20 30"])
    own = config.optimiser
    assert (own.rate, own.min_rate, own.warmup, own.hold) == (0.004, 0.0004, 1700, 0)
    assert (own.half_life, config.updates, config.epochs) == (2805, 90_000, None)
    assert config.checkpoint_every == "1 epochs"
    assert config.milestones == ("10 epochs", "20 epochs", "30 epochs")


def test_a_name_of_myrtles_beside_ours_is_refused(tmp_path: Path) -> None:
    path = written(tmp_path, "")
    path.write_text("HOLD_STEPS = 5\n" + path.read_text() + "[optimiser]\nhold = 5\n")
    with pytest.raises(ConfigError, match="HOLD_STEPS is another name of optimiser.hold"):
        load_config(path)
