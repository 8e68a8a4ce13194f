"""Durations in a configuration, and values that change over them.

A duration is a number of updates, or of epochs, as in "2 epochs".
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping
from typing import Any, TypeAlias

import msgspec

Duration: TypeAlias = int | str

EPOCHS = re.compile(r"(?:(\d+(?:\.\d+)?) )?epochs?")


def check_duration(key: str, value: Duration, least: int = 0) -> None:
    """Check a duration.

    Args:
        key: for the message.
        least: of a number of updates.
    Raises:
        ValueError: it is neither.
    """
    if isinstance(value, str):
        if not EPOCHS.fullmatch(value):
            raise ValueError(f'{key} is {value!r}, wants updates, as 500, or epochs, as "2 epochs"')
    elif value < least:
        raise ValueError(f"{key} is {value}, wants at least {least}")


def updates_in(duration: Duration, epoch: int) -> int:
    """Return a duration in updates; one in epochs is at least one update.

    Args:
        epoch: updates in an epoch.
    """
    if isinstance(duration, int):
        return duration
    found = EPOCHS.fullmatch(duration)
    if found is None:  # `check_duration` refused it
        raise ValueError(f"{duration!r} is not a duration")
    return max(1, round(float(found[1] or 1) * epoch))


def drop_other_length(below: dict[str, Any], above: Mapping[str, Any]) -> None:
    """Take the length of a run out of a configuration where another one replaces it in the other unit."""
    for key, other in (("updates", "epochs"), ("epochs", "updates")):
        if key in above and other not in above:
            below.pop(other, None)


class Linear(
    msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True,
    tag_field="schedule", tag="linear",
):  # fmt: skip
    """A value that moves along a line.

    Attributes:
        first, last: at its start and at its end, which it keeps.
        start, ramp: durations, until it starts and from there to its end.
        before: until it starts; None: `first`.
    """

    first: float
    last: float
    start: Duration = 0
    ramp: Duration
    before: float | None = None


class WerSwitch(
    msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True,
    tag_field="schedule", tag="wer",
):  # fmt: skip
    """A value that changes once a run is good enough, and then stays.

    Attributes:
        before, after: the two values.
        below: dev WER of a validation, a fraction, under which it changes.
        at: duration after which it changes in any case; None: the WER alone says.
    """

    before: float
    after: float
    below: float
    at: Duration | None = None


Penalty: TypeAlias = float | Linear | WerSwitch


def values_of(key: str, penalty: Penalty) -> Iterator[float]:
    """Check the durations of a penalty, and yield the values between which it lies.

    Raises:
        ValueError: a duration is none.
    """
    match penalty:
        case Linear():
            check_duration(f"{key}.start", penalty.start)
            check_duration(f"{key}.ramp", penalty.ramp)
            yield from (penalty.first, penalty.last)
            yield penalty.first if penalty.before is None else penalty.before
        case WerSwitch():
            if not penalty.below > 0.0:
                raise ValueError(f"{key}.below is {penalty.below}, wants more than 0, as 0.3")
            if penalty.at is not None:
                check_duration(f"{key}.at", penalty.at)
            yield from (penalty.before, penalty.after)
        case _:
            yield penalty


class Normalisation(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """By what rows are normalised: a stream's running statistics, blended with their own at first.

    Attributes:
        stream_share: share of the stream's at the start; 1: no other, from the start.
        delay: duration of that; None: warmup, hold and half_life of the optimiser.
        ramp: duration from there until the stream's are all.
    """

    stream_share: float = 1.0
    delay: Duration | None = None
    ramp: Duration = 5000

    def __post_init__(self) -> None:
        if not 0.0 <= self.stream_share <= 1.0:
            raise ValueError(f"normalisation.stream_share is {self.stream_share}, wants 0 to 1")
        if self.delay is not None:
            check_duration("normalisation.delay", self.delay)
        check_duration("normalisation.ramp", self.ramp)


class StatePassing(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Rows that go on in the states in which those of the update before ended.

    Attributes:
        chains: how often so many updates go on from each other, 1, 2, 3 and so on, relative to each other.
        delay: duration until then; None: warmup, hold and three half-lives of the optimiser.
    """

    chains: tuple[float, ...] = (1.0,)
    delay: Duration | None = None

    def __post_init__(self) -> None:
        if not (self.chains and all(0.0 <= w < math.inf for w in self.chains) and sum(self.chains)):
            raise ValueError(
                f"state_passing.chains is {list(self.chains)}, wants weights of chains of 1, 2, ... "
                "updates, as [99, 0, 1]"
            )
        if self.delay is not None:
            check_duration("state_passing.delay", self.delay)
