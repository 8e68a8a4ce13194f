"""Durations are updates or epochs."""

from __future__ import annotations

import pytest

from train.config.duration import check_duration, drop_other_length, updates_in


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
