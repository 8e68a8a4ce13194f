"""Schedules other than the learning rate's: delay and star penalty, noise levels, normalisation.

Pure functions of the update or of the dev WER, as generations 1.12 to 1.14 define them (NUMERICS
1.7, 2.4, 5.1).
"""

from __future__ import annotations

from collections.abc import Iterable

__all__ = ["linear_delay_penalty", "noise_ranges", "normalisation_ratio", "wer_switch"]


def linear_delay_penalty(
    update: int,
    *,
    start: int = 5000,
    end: int = 20_000,
    first: float = 0.007,
    last: float = 0.01,
) -> float:
    """Return generation 1.12's delay penalty: 0, then from `first` linearly to `last`."""
    if update < start:
        return 0.0
    if update >= end:
        return last
    return first + (update - start) * (last - first) / (end - start)


def wer_switch(wers: Iterable[float], before: float, after: float, threshold: float) -> list[float]:
    """Return a penalty after each validation: `after` from the first WER below the threshold on.

    It latches: a WER that rises again does not switch back. WER is a fraction.
    """
    values, reached = [], False
    for wer in wers:
        reached = reached or wer < threshold
        values.append(after if reached else before)
    return values


def noise_ranges(
    update: int, *, delay: int = 4896, ramp: int = 4896
) -> tuple[tuple[int, int], tuple[int, int]]:
    """Return the SNR ranges in dB, (low, high), of background noise and of babble.

    From (30, 60) both fall linearly over `ramp` updates after `delay`, to (0, 30) and (15, 30); it
    is the decrement that is truncated.
    """
    share = min(max(update - delay, 0) / ramp, 1.0) if ramp else float(update >= delay)

    def down(start: int, end: int) -> int:
        return start - int(share * (start - end))

    high = down(60, 30)
    return (down(30, 0), high), (down(30, 15), high)


def normalisation_ratio(update: int, *, start: int, end: int, first: float = 0.0) -> float:
    """Return the share of global statistics in the blend with per-utterance ones."""
    if update <= start:
        return first
    if update >= end:
        return 1.0
    return first + (update - start) / (end - start) * (1.0 - first)
