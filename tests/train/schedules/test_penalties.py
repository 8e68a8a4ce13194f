"""Values that change during a run, at their edges."""

from __future__ import annotations

import math

import pytest

from train.config.duration import Linear, Normalisation, WerSwitch
from train.config.learning import Optimiser
from train.schedules.penalties import blend_span, penalty_at, stream_share

MYRTLES = Linear(first=0.007, last=0.01, start=5000, ramp=15_000, before=0.0)


def values(penalty: Linear, *updates: int, epoch: int = 1) -> list[float]:
    return [penalty_at(penalty, update, (), epoch) for update in updates]


def test_a_number_is_a_number() -> None:
    assert penalty_at(0.5, 7, (), 1) == 0.5


def test_a_line_starts_at_once_and_ends_where_it_should() -> None:
    assert values(MYRTLES, 4999, 5000, 20_000, 1_000_000) == [0.0, 0.007, 0.01, 0.01]
    assert penalty_at(MYRTLES, 12_500, (), 1) == pytest.approx(0.0085)


def test_a_line_may_fall_be_a_step_and_count_epochs() -> None:
    assert values(Linear(first=0.1, last=0.2, start=5, ramp=0), 4, 5, 6) == [0.1, 0.2, 0.2]
    falling = Linear(first=0.2, last=0.0, start="1 epoch", ramp="1 epoch")
    got = values(falling, *range(1, 25), epoch=10)
    assert got == sorted(got, reverse=True)
    assert (got[9], got[14], got[19]) == (0.2, pytest.approx(0.1), 0.0)


def test_a_switch_stays_after_the_first_low_word_error_rate() -> None:
    switch = WerSwitch(before=0.0, after=0.01, below=0.5)
    wers = [math.nan, 0.9, 0.5, 0.4, 0.6]
    assert [penalty_at(switch, 1, wers[:n], 1) for n in range(6)] == [0.0] * 4 + [0.01] * 2


def test_a_switch_may_have_an_update_too() -> None:
    switch = WerSwitch(before=0.75, after=1.0, below=0.2, at="2 epochs")
    assert [penalty_at(switch, n, (0.9,), 5) for n in (9, 10, 11)] == [0.75, 1.0, 1.0]
    assert penalty_at(switch, 1, (0.1,), 5) == 1.0


def test_the_streams_share_goes_from_its_first_value_to_one() -> None:
    assert stream_share(10, start=10, end=20, first=0.2) == 0.2
    assert stream_share(15, start=10, end=20, first=0.2) == pytest.approx(0.6)
    assert stream_share(20, start=10, end=20) == 1.0
    assert stream_share(3, start=5, end=5) == 0.0
    assert stream_share(6, start=5, end=5) == 1.0


def test_the_blend_is_by_default_over_with_the_first_half_life_and_a_ramp() -> None:
    own = Optimiser(warmup=1632, hold=18_000, half_life=10_880)
    assert blend_span(Normalisation(), own, 1) == (30_512, 35_512)
    assert blend_span(Normalisation(delay="1 epoch", ramp=3), own, 10) == (10, 13)
