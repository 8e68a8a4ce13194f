"""Durations in a configuration: a number of updates, or of epochs, as in "2 epochs"."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, TypeAlias

__all__ = ["Duration", "check_duration", "drop_other_length", "updates_in"]

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
