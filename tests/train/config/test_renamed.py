"""Keys by their old names: read in files, in overrides and in what runs have kept."""

from __future__ import annotations

from pathlib import Path

import pytest

from train.config.file import load_config
from train.config.renamed import current
from train.config.run import ConfigError
from train.run.resume import differences

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
    with pytest.raises(ConfigError, match=r"run.toml: data.normalise is the old name of data.text"):
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
