"""Durations are updates or epochs, and values change over them."""

from __future__ import annotations

from pathlib import Path

import pytest

from train.config.duration import (
    Linear,
    WerSwitch,
    check_duration,
    drop_other_length,
    updates_in,
)
from train.config.file import load_config
from train.config.run import ConfigError

CONFIG = """
[model]
[data]
train = ["a.jsonl"]
dev = "b.jsonl"
tokenizer = "t.model"
statistics = "s.npz"
[loss]
delay_penalty = { schedule = "linear", first = 0.007, last = 0.01, start = 5000, ramp = "2 epochs", before = 0 }
eos_penalty = 0.1
star = "<star>"
star_penalty = { schedule = "wer", before = 0.75, after = 1.0, below = 0.2 }
"""


@pytest.mark.parametrize(
    ("duration", "updates"),
    [(500, 500), (0, 0), ("2 epochs", 80), ("epoch", 40), ("0.5 epochs", 20), ("0.001 epochs", 1)],
)
def test_a_duration_is_in_updates_or_in_epochs(duration: int | str, updates: int) -> None:
    check_duration("warmup", duration)
    assert updates_in(duration, epoch=40) == updates


@pytest.mark.parametrize("wrong", ["2", "two epochs", "epochs 2", "-1 epochs", "", "2 epochs "])
def test_other_words_are_refused(wrong: str) -> None:
    with pytest.raises(ValueError, match='hold is .*, wants updates, as 500, or epochs, as "2 ep'):
        check_duration("hold", wrong)


def test_too_few_updates_are_refused() -> None:
    with pytest.raises(ValueError, match="half_life is 0, wants at least 1"):
        check_duration("half_life", 0, 1)


def test_a_length_replaces_one_in_the_other_unit() -> None:
    for above, left in (
        ({"epochs": 2}, {"seed": 1}),
        ({"updates": 2}, {"updates": 9, "seed": 1}),
        ({"updates": 2, "epochs": 3}, {"updates": 9, "seed": 1}),
        ({}, {"updates": 9, "seed": 1}),
    ):
        below = {"updates": 9, "seed": 1}
        drop_other_length(below, above)
        assert below == left


@pytest.fixture
def path(tmp_path: Path) -> Path:
    (tmp_path / "run.toml").write_text(CONFIG)
    return tmp_path / "run.toml"


def test_a_penalty_is_a_number_or_a_schedule(path: Path) -> None:
    loss = load_config(path).loss
    assert loss.delay_penalty == Linear(
        first=0.007, last=0.01, start=5000, ramp="2 epochs", before=0.0
    )
    assert loss.eos_penalty == 0.1
    assert loss.star_penalty == WerSwitch(before=0.75, after=1.0, below=0.2)
    assert load_config(path, ["loss.delay_penalty=0.01"]).loss.delay_penalty == 0.01


@pytest.mark.parametrize(
    ("override", "message"),
    [
        (
            "loss.star_penalty={ schedule = 'wer', before = 0, after = 1, below = 0.2 }",
            "0.0, wants mo",
        ),
        (
            "loss.star_penalty={ schedule = 'wer', before = 1, after = 1, below = 0 }",
            "below is 0.0",
        ),
        (
            "loss.delay_penalty={ schedule = 'linear', first = 0, last = 1, ramp = -1 }",
            "ramp is -1",
        ),
        ("loss.delay_penalty={ schedule = 'linear', first = 0, last = 1 }", "missing .*`ramp`"),
        ("loss.delay_penalty={ schedule = 'stairs' }", "stairs"),
        ("loss.delay_penalty=soon", "'soon'"),
        ("normalisation.stream_share=2", "stream_share is 2.0, wants 0 to 1"),
        ("normalisation.delay=5", "normalisation.stream_share is 1"),
    ],
)
def test_what_is_wrong_is_named(path: Path, override: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        load_config(path, [override])
