"""A point's numbers: percentiles, the growth of a backlog, words, and when it holds."""

from __future__ import annotations

import random
from typing import Any

import pytest

from server.load.point import Heard, Point, compare, grows, holds, percentiles


def test_percentiles_are_values_at_their_places_in_order_in_ms() -> None:
    seconds = [n / 1000 for n in range(1000)]
    random.Random(0).shuffle(seconds)
    assert percentiles(seconds) == (499.5, 900.0, 990.0)


def test_one_slow_chunk_in_a_hundred_is_the_99th_percentile_and_one_in_101_is_not() -> None:
    assert percentiles([0.001] * 99 + [0.5]) == (1.0, 1.0, 500.0)
    assert percentiles([0.001] * 100 + [0.5]) == (1.0, 1.0, 1.0)


def test_percentiles_of_nothing_are_none() -> None:
    assert percentiles([]) == (None, None, None)


@pytest.mark.parametrize(
    "backlog, growing",
    [
        ([], False),
        ([0, 5, 9], False),  # too few to say
        ([0, 1, 2, 3, 4, 5, 6, 7], True),
        ([7, 6, 5, 4, 3, 2, 1, 0], False),
        ([9, 9, 9, 9, 9, 9, 9, 9], False),  # behind, but no more than it was
        ([0, 0, 9, 9, 9, 9, 0, 0], False),
        ([1, 1, 1, 1, 1, 1, 1.5, 1.5], False),
        ([1, 1, 1, 1, 1, 1, 1.6, 1.6], True),
    ],
)
def test_a_backlog_grows_from_the_first_quarter_to_the_last(
    backlog: list[float], growing: bool
) -> None:
    assert grows(backlog) is growing


@pytest.mark.parametrize(
    "text, alone, ended, counts",
    [
        ("the cat sat", "the cat sat", True, (3, 0, 0)),
        ("the sat", "the cat sat", True, (3, 1, 0)),
        ("the dog sat", "the cat sat", True, (3, 0, 1)),
        ("the cat cat sat", "the cat sat", True, (3, 0, 1)),
        ("", "the cat sat", True, (3, 3, 0)),
        ("hello", "", True, (0, 0, 1)),
        ("", "", True, (0, 0, 0)),
        ("the ca", "the cat sat", False, (1, 0, 0)),  # the last word may not be whole
        ("the dog sa", "the cat sat", False, (2, 0, 1)),
        ("the", "the cat sat", False, (0, 0, 0)),
    ],
)
def test_words_are_compared_with_those_of_one_stream_alone(
    text: str, alone: str, ended: bool, counts: tuple[int, int, int]
) -> None:
    assert compare([Heard(text, alone, ended)]) == counts


def test_words_of_all_streams_are_summed_stream_by_stream() -> None:
    heard = [Heard("a b", "a b", True), Heard("a", "a b", True), Heard("b x", "a b", False)]
    assert compare(heard) == (5, 1, 1)


@pytest.mark.parametrize(
    "field, value, good",
    [
        ("cl99_ms", 60.0, True),
        ("cl99_ms", 60.001, False),
        ("cl99_ms", None, False),
        ("backlog_grows", True, False),
        ("refused", "full", False),
        ("failed", 1, False),
        ("lost_words", 1, True),  # reported; no matter of load
    ],
)
def test_when_a_point_holds(field: str, value: Any, good: bool) -> None:
    fields = {"streams": 1, "seconds": 1.0, "cl99_ms": 20.0, field: value}
    assert holds(Point(**fields), 60.0) is good


def test_words_differ_where_one_is_lost_or_changed() -> None:
    assert not Point(streams=1, seconds=1.0, words=3).words_differ
    assert Point(streams=1, seconds=1.0, words=3, lost_words=1).words_differ
    assert Point(streams=1, seconds=1.0, words=3, changed_words=1).words_differ
