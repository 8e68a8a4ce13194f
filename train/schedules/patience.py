"""What the dev WERs of a run so far say: whether it still gets better.

A run keeps the WER of each validation in its checkpoints, so a resumed one decides as if it had not stopped.
"""

from __future__ import annotations

from collections.abc import Iterable


def since_better(wers: Iterable[float], min_delta: float) -> int:
    """Return how many validations have passed since one was better than all that counted before.

    None counts before the first that is: a model that has learned nothing yet is at a WER of 1 for a while,
    which is as high as a validation says.

    Args:
        wers: of each validation, in order, fractions.
        min_delta: a WER counts as better if it is lower by more than this.
    """
    best, count = 1.0, 0
    for wer in wers:
        if wer < best - min_delta:
            best, count = wer, 0
        elif best < 1.0:
            count += 1
    return count
