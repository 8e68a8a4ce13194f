"""The search for RTS: the largest number of real-time streams that holds.

1. Doubling from the first number until one does not hold, then bisection between the largest that held
   and the smallest that did not, until they are within 2 % or one stream.
2. A number that does not hold is measured a second time, since other work on a shared machine may spoil
   a measurement. It holds if either of the two does.
3. A number at which streams are refused (HTTP 503) does not hold, and is not measured again.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from server.load.point import Point, holds

RESOLUTION = 0.02


async def find_rts(
    measure: Callable[[int], Awaitable[Point]],
    cl99_ms: float,
    first: int = 8,
    on_point: Callable[[Point, bool], None] = lambda point, held: None,
) -> tuple[Point | None, list[Point]]:
    """Search for the largest number of streams that holds.

    Args:
        measure: makes the point of a number of streams.
        cl99_ms: the limit; see `server.load.point.holds` for all conditions.
        first: number of streams to begin with.
        on_point: called with each point and whether it holds.
    Returns:
        The point of the largest number that holds (None: not even one stream), and the last point of
        each measured number, in order.
    """
    tried: dict[int, Point] = {}
    best: Point | None = None
    held, failed = 0, None
    streams = first
    while failed is None or failed - held > max(1.0, RESOLUTION * held):
        for attempt in (1, 2):
            point = tried[streams] = await measure(streams)
            good = holds(point, cl99_ms)
            on_point(point, good)
            if good or point.refused is not None or attempt == 2:
                break
        if good:
            held, best = streams, point
        else:
            failed = streams
        streams = 2 * streams if failed is None else (held + failed) // 2
    return best, [tried[number] for number in sorted(tried)]
