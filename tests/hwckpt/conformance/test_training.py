"""The schedules of penalties at their edges."""

from __future__ import annotations

import pytest

pytest.importorskip("torch")

from hwckpt.conformance.training import linear_delay_penalty, wer_switch


def test_the_delay_penalty_starts_at_once_and_ends_where_it_should() -> None:
    assert linear_delay_penalty(4999) == 0.0
    assert linear_delay_penalty(5000) == 0.007
    assert linear_delay_penalty(12_500) == pytest.approx(0.0085)
    assert linear_delay_penalty(20_000) == pytest.approx(0.01)
    assert linear_delay_penalty(1_000_000) == 0.01


def test_a_switch_latches_at_the_first_low_word_error_rate() -> None:
    assert wer_switch([0.9, 0.5, 0.4, 0.6], 0.0, 0.01, 0.5) == [0.0, 0.0, 0.01, 0.01]
    assert wer_switch([], 0.0, 1.0, 0.5) == []
    assert wer_switch(iter([0.1]), 0.0, 1.0, 0.5) == [1.0]


def test_a_delay_penalty_may_start_and_end_at_the_same_update() -> None:
    schedule = {"start": 5, "end": 5, "first": 0.1, "last": 0.2}
    assert [linear_delay_penalty(n, **schedule) for n in (4, 5, 6)] == [0.0, 0.2, 0.2]


def test_a_delay_penalty_may_also_fall() -> None:
    schedule = {"start": 10, "end": 20, "first": 0.2, "last": 0.0}
    values = [linear_delay_penalty(n, **schedule) for n in range(10, 25)]
    assert values == sorted(values, reverse=True)
    assert values[5] == pytest.approx(0.1)
    assert values[10:] == [0.0] * 5


def test_a_word_error_rate_that_is_not_a_number_switches_nothing() -> None:
    assert wer_switch([float("nan"), 0.2, float("nan")], 1.0, 2.0, 0.3) == [1.0, 2.0, 2.0]
