"""The value of a penalty, and of the normaliser's blend, in an update (NUMERICS 5.1 and 2.4)."""

from __future__ import annotations

from collections.abc import Sequence

from train.config.duration import Linear, Normalisation, Penalty, WerSwitch, updates_in
from train.config.learning import Optimiser
from train.schedules.learning_rate import halved_after


def penalty_at(penalty: Penalty, update: int, wers: Sequence[float], epoch: int) -> float:
    """Return the value of a penalty.

    Args:
        update: from 1.
        wers: on dev, of each validation so far, fractions.
        epoch: updates in an epoch.
    """
    match penalty:
        case Linear():
            after, ramp = (
                update - updates_in(penalty.start, epoch),
                updates_in(penalty.ramp, epoch),
            )
            if after < 0:
                return penalty.first if penalty.before is None else penalty.before
            if after >= ramp:
                return penalty.last
            return penalty.first + after * (penalty.last - penalty.first) / ramp
        case WerSwitch():
            due = penalty.at is not None and update >= updates_in(penalty.at, epoch)
            reached = due or any(wer < penalty.below for wer in wers)
            return penalty.after if reached else penalty.before
        case _:
            return penalty


def blend_span(config: Normalisation, optimiser: Optimiser, epoch: int) -> tuple[int, int]:
    """Return the updates at which the stream's share begins to rise, and from which it is 1."""
    if config.delay is None:
        start = halved_after(optimiser, epoch, times=1)
    else:
        start = updates_in(config.delay, epoch)
    return start, start + updates_in(config.ramp, epoch)


def stream_share(update: int, *, start: int, end: int, first: float = 0.0) -> float:
    """Return the share of the stream's statistics in their blend with a row's own."""
    if update <= start:
        return first
    if update >= end:
        return 1.0
    return first + (update - start) / (end - start) * (1.0 - first)
