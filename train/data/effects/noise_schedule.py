"""Noise schedule: signal-to-noise ratios that fall from mild to their configured range.

The rule is that of generation 1.14 (NUMERICS 1.7): the starting range until `delay` updates, then both ends
fall in whole decibels over `ramp` updates.
"""

from __future__ import annotations


def scheduled_snr(
    update: int,
    start_db: tuple[float, float],
    end_db: tuple[float, float],
    delay: int,
    ramp: int,
) -> tuple[float, float]:
    """Return the range of the signal-to-noise ratio at an update, in dB.

    Args:
        start_db, end_db: ranges at the start and at the end.
        delay: updates at the start's range.
        ramp: updates over which it then moves; 0: at once.
    """
    progress = min(max((update - delay) / ramp, 0.0), 1.0) if ramp else float(update > delay)
    low, high = (
        start - int(progress * (start - end)) for start, end in zip(start_db, end_db, strict=True)
    )
    return (low, high) if progress < 1.0 else end_db
