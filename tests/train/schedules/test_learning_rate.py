"""The learning rate of an update: every way up, along and down."""

from __future__ import annotations

from typing import Any

import pytest

from train.config.learning import Optimiser
from train.schedules.calendar import Calendar
from train.schedules.learning_rate import LearningRate


def rates(schedule: str, end: int = 100, epoch: int = 20, **keys: Any) -> LearningRate:
    given = {"rate": 0.01, "min_rate": 0.001, "warmup": 9, "hold": 11, **keys}
    return LearningRate.of(
        Optimiser(schedule=schedule, **given),
        Calendar(epoch, end, validate_every=1, checkpoint_every=1),
    )


def test_the_rate_warms_up_holds_and_halves() -> None:
    own = rates("half-life", rate=0.004, min_rate=0.0001, warmup=10, hold=20, half_life=5)
    found = [own.at(n) for n in range(1, 200)]
    assert found[0] == pytest.approx(0.004 * 2 / 11)
    assert all(a < b for a, b in zip(found[:9], found[1:10], strict=True))
    assert found[9:30] == [0.004] * 21
    assert found[34] == pytest.approx(0.002)
    assert found[39] == pytest.approx(0.001)
    assert found[-1] == 0.0001


@pytest.mark.parametrize(("warmup", "hold"), [(0, 0), (0, 7), (7, 0), (3, 4)])
def test_the_rate_has_no_jump_where_its_phases_meet(warmup: int, hold: int) -> None:
    own = rates("half-life", warmup=warmup, hold=hold, half_life=1000)
    longer = rates("half-life", warmup=warmup, hold=hold + 1, half_life=1000)
    assert longer.at(max(warmup, 1)) == 0.01
    assert own.at(warmup + hold) == 0.01
    assert own.at(warmup + hold + 1) == pytest.approx(0.01, rel=1e-3)
    assert own.at(10**9) == 0.001


def test_the_floor_holds_in_warm_up_and_for_a_group_of_small_factor() -> None:
    assert rates("half-life", min_rate=0.003).at(1) == 0.003
    assert rates("half-life").at(15, factor=0.01) == 0.001


def test_a_half_life_is_that_of_its_formula() -> None:
    own = rates("half-life", half_life=7)
    for factor in (1.0, 0.343):
        assert own.at(1, factor) == max(0.2 * (0.01 * factor), 0.001)
        assert own.at(27, factor) == max(0.5 * (0.01 * factor), 0.001)
        assert own.at(34, factor) == max(0.25 * (0.01 * factor), 0.001)


@pytest.mark.parametrize("schedule", ["half-life", "linear", "cosine", "noam", "constant"])
def test_all_have_the_same_warm_up_and_plateau(schedule: str) -> None:
    own = rates(schedule)
    assert [own.share(n) for n in (1, 4, 9, 20)] == [0.2, 0.5, 1.0, 1.0]
    assert own.at(1, 0.1) == 0.001  # the floor comes after the factor


def test_a_line_and_a_cosine_end_at_the_floor_with_the_run() -> None:
    line, cosine = rates("linear"), rates("cosine")
    assert line.at(60) == pytest.approx(0.0055)
    assert line.at(40) == pytest.approx(0.01 - 0.009 * 0.25)
    assert cosine.at(60) == pytest.approx(0.0055)
    assert cosine.at(40) == pytest.approx(0.001 + 0.009 * 0.5 * (1 + 0.5**0.5))
    for own in (line, cosine):
        assert own.at(100) == own.at(200) == pytest.approx(0.001)
        falling = [own.at(n) for n in range(20, 101)]
        assert falling == sorted(falling, reverse=True)


def test_noam_falls_with_the_square_root() -> None:
    own = rates("noam", hold=0)
    # icefall: (d warmup)^0.5 min(n^-0.5, n warmup^-1.5) d^-0.5 of the peak
    for update in (9, 10, 36, 81):
        assert own.share(update) == pytest.approx((9 / update) ** 0.5)


def test_eden_is_icefalls() -> None:
    own = rates("eden", warmup=500, eden_updates=7500, eden_epochs=3.5, epoch=1000)
    # (n^2/7500^2 + 1)^-1/4 (e^2/3.5^2 + 1)^-1/4, and from a half to 1 in 500 updates
    assert own.share(250) == pytest.approx(0.75 * 1.0011111**-0.25)
    assert own.share(1000) == pytest.approx(1.0177778**-0.25)
    assert own.share(1001) == pytest.approx(1.0178133**-0.25 * 1.0816327**-0.25)
    assert own.share(7500) == pytest.approx(2**-0.25 * (1 + 49 / 12.25) ** -0.25)


def test_durations_may_be_in_epochs() -> None:
    own = rates("half-life", warmup="0.5 epochs", hold="2 epochs", half_life="1 epoch")
    assert (own.warmup, own.hold, own.half_life) == (10, 40, 20)
    assert own.share(70) == 0.5
