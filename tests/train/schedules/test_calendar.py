"""When a run validates, saves and ends."""

from __future__ import annotations

from typing import Any

import msgspec

from train.config.run import Config
from train.schedules.calendar import Calendar

LEAST = {
    "model": {},
    "data": {"train": ["a.jsonl"], "dev": "b.jsonl", "tokenizer": "t", "statistics": "s"},
    "batches": {},
    "augmentation": {},
}


def calendar(epoch: int = 40, **keys: Any) -> Calendar:
    return Calendar.of(msgspec.convert(LEAST | keys, Config), epoch)


def test_a_run_has_a_length_in_updates_or_in_epochs() -> None:
    assert calendar().end == 6000
    assert calendar(updates=7).end == 7
    assert calendar(epochs=3).end == 120
    assert calendar(epochs=0.5).end == 20
    assert calendar(epochs=0.001).end == 1


def test_it_validates_and_saves_from_time_to_time_and_at_the_end() -> None:
    own = calendar(epochs=2.1, validate_every="1 epoch", checkpoint_every=30)
    assert [n for n in range(1, own.end + 1) if own.validates(n)] == [40, 80, 84]
    assert [n for n in range(1, own.end + 1) if own.saves(n)] == [30, 60, 84]
    assert own.epochs(60) == 1.5


def test_a_milestone_is_saved_whenever_it_is() -> None:
    own = calendar(updates=130, milestones=[7, "2 epochs"], milestone_every="0.5 epochs")
    own_milestones = [n for n in range(1, own.end + 1) if own.is_milestone(n)]
    assert own_milestones == [7, 20, 40, 60, 80, 100, 120]
    assert [n for n in range(1, own.end + 1) if own.saves(n)] == [*own_milestones, 130]
    assert not calendar(updates=130).is_milestone(100)
