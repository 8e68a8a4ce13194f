from __future__ import annotations

from server.histogram import SECONDS, Histogram


def test_durations_are_counted_up_to_each_bound_inclusive() -> None:
    histogram = Histogram()
    for seconds in (0.0, SECONDS[0], 0.0011, 0.06, 0.061, 99.0):
        histogram.observe(seconds)
    counts = dict(zip([*SECONDS, None], histogram.cumulative(), strict=True))
    assert counts[0.001] == 2
    assert counts[0.0025] == 3
    assert counts[0.045] == 3
    assert counts[0.06] == 4
    assert counts[0.09] == 5
    assert counts[10] == 5
    assert counts[None] == 6
    assert histogram.sum == 0.001 + 0.0011 + 0.06 + 0.061 + 99.0
