"""The learning rate of an update."""

from __future__ import annotations

import pytest

from train.schedules.learning_rate import learning_rate

SCHEDULE = {"rate": 0.004, "min_rate": 0.0001, "warmup": 10, "hold": 20, "half_life": 5}


def test_the_rate_warms_up_holds_and_halves() -> None:
    rates = [learning_rate(n, **SCHEDULE) for n in range(1, 200)]
    assert rates[0] == pytest.approx(0.004 * 2 / 11)
    assert all(a < b for a, b in zip(rates[:9], rates[1:10], strict=True))
    assert rates[9:30] == [0.004] * 21
    assert rates[34] == pytest.approx(0.002)
    assert rates[39] == pytest.approx(0.001)
    assert rates[-1] == 0.0001


@pytest.mark.parametrize(("warmup", "hold"), [(0, 0), (0, 7), (7, 0), (3, 4)])
def test_the_rate_has_no_jump_where_its_phases_meet(warmup: int, hold: int) -> None:
    schedule = {**SCHEDULE, "warmup": warmup, "hold": hold, "half_life": 1000}
    assert learning_rate(max(warmup, 1), **{**schedule, "hold": hold + 1}) == 0.004
    assert learning_rate(warmup + hold, **schedule) == 0.004
    assert learning_rate(warmup + hold + 1, **schedule) == pytest.approx(0.004, rel=1e-3)
    assert learning_rate(10**9, **schedule) == 0.0001


def test_the_floor_holds_in_warm_up_and_for_a_group_of_small_factor() -> None:
    assert learning_rate(1, **{**SCHEDULE, "min_rate": 0.003}) == 0.003
    assert learning_rate(15, **{**SCHEDULE, "rate": 0.004 * 0.01}) == 0.0001
