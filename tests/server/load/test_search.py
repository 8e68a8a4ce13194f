"""The search for RTS, on servers that are functions of the number of streams."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from server.load.point import Point, holds
from server.load.search import find_rts

LIMIT = 60.0


def good(streams: int) -> Point:
    return Point(streams=streams, seconds=1.0, cl99_ms=LIMIT)


def slow(streams: int) -> Point:
    return Point(streams=streams, seconds=1.0, cl99_ms=LIMIT + 1)


def full(streams: int) -> Point:
    return Point(streams=streams, seconds=0.0, refused="full")


async def search(
    measure: Callable[[int], Point], first: int = 8
) -> tuple[Point | None, list[Point], list[int]]:
    """Return what `find_rts` does, and the numbers in the order in which they were measured."""
    asked: list[int] = []

    async def measured(streams: int) -> Point:
        asked.append(streams)
        return measure(streams)

    best, curve = await find_rts(measured, LIMIT, first)
    return best, curve, asked


@pytest.mark.parametrize("first", [1, 8, 100, 1000])
@pytest.mark.parametrize("capacity", [1, 2, 7, 8, 9, 50, 377])
async def test_what_is_found_holds_and_is_within_2_percent(capacity: int, first: int) -> None:
    best, _, asked = await search(lambda n: good(n) if n <= capacity else slow(n), first)
    assert best is not None
    assert best.streams <= capacity <= max(best.streams, 1.02 * best.streams)
    assert min(n for n in asked if n > capacity) - best.streams <= max(1, 0.02 * best.streams)
    assert len(asked) < 40


async def test_doubling_goes_before_bisection() -> None:
    _, _, asked = await search(lambda n: good(n) if n <= 50 else full(n))
    assert asked == [8, 16, 32, 64, 48, 56, 52, 50, 51]


async def test_a_server_that_holds_nothing_has_no_best_and_ends_at_one_stream() -> None:
    best, curve, asked = await search(slow)
    assert best is None
    assert asked == [8, 8, 4, 4, 2, 2, 1, 1]
    assert [point.streams for point in curve] == [1, 2, 4, 8]


async def test_a_number_that_was_spoilt_once_is_believed_the_second_time() -> None:
    spoilt = {16}

    def measure(streams: int) -> Point:
        if streams in spoilt:
            spoilt.remove(streams)
            return slow(streams)
        return good(streams) if streams <= 20 else slow(streams)

    best, curve, asked = await search(measure)
    assert best is not None and best.streams == 20
    assert asked.count(16) == 2
    assert all(holds(point, LIMIT) for point in curve if point.streams <= 20)


async def test_a_refusal_is_not_tried_again_and_the_curve_has_it() -> None:
    best, curve, asked = await search(lambda n: good(n) if n <= 10 else full(n))
    assert best is not None and best.streams == 10
    assert len(asked) == len(set(asked))
    assert [point.streams for point in curve if point.refused] == [11, 12, 16]


async def test_every_measurement_is_announced_with_its_verdict() -> None:
    announced: list[tuple[int, bool]] = []

    async def measure(streams: int) -> Point:
        return good(streams) if streams < 3 else slow(streams)

    await find_rts(measure, LIMIT, 2, lambda point, held: announced.append((point.streams, held)))
    assert announced == [(2, True), (4, False), (4, False), (3, False), (3, False)]
