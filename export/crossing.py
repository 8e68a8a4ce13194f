"""Make a random model of any encoder emit tokens at a rate, by what it hears.

A random encoder with a stateless prediction network, whose joint is changed so that a token comes where a
direction of the encoder's output crosses a level:

1. The direction is one of the joint's, and the level one of its quantiles: those whose crossings on
   recordings come nearest to the rate.
2. Unit 0 of the prediction network is 1 after an odd token, and 0 after an even one and at the start.
3. Unit 0 of the joint is positive above the level after an even token, unit 1 below it after an odd one. Then
   blank's logit falls below all others, and those of the odd tokens (unit 0), or of the even ones, rise.

Which of these comes depends on the audio and on the token before it.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from stream.model.specification import Specification
from stream.prediction.family import EMBEDDING
from stream.prediction.stateless import WEIGHT
from stream.stage import Floats

QUANTILES = np.linspace(0.5, 0.99, 50)
SHUT = 100.0  # deviations below zero of a unit whose token has come
FALL = 2000.0  # of blank's logit, and the rise of the tokens that are due, per deviation
ABOVE = 40.0  # blank's logit where no token is due


def emit_at_crossings(
    arrays: dict[str, Floats],
    specification: Specification,
    outputs: Iterable[Floats],
    seconds: float,
    rate: float,
) -> None:
    """Change the joint of a random model, in place.

    Args:
        arrays: of the model; its prediction network is stateless.
        outputs: f of recordings, (frames, J) each, as the model gives it.
        seconds: of the recordings.
        rate: tokens a second that are wanted.
    """
    rows = list(outputs)
    levels = np.quantile(np.concatenate(rows), QUANTILES, axis=0)  # (quantiles, J)
    crossings = sum(
        np.abs(np.diff(f[None] > levels[:, None], axis=1, prepend=False)).sum(1) for f in rows
    )
    best = np.argmin(np.abs(crossings / seconds - rate))
    quantile, direction = np.unravel_index(best, levels.shape)
    level, scale = levels[quantile, direction], np.concatenate(rows)[:, direction].std()
    weight, bias = (arrays[f"joint.encoder.{key}"] for key in ("weight", "bias"))
    row, at = weight[direction] / scale, (bias[direction] - level) / scale
    weight[:2], bias[:2] = np.stack([row, -row]), (at, -at - SHUT)
    arrays[EMBEDDING][:, 0] = np.arange(specification.vocabulary) % 2
    arrays[WEIGHT][0] = 0.0
    arrays[WEIGHT][0, -1] = 1.0  # the last token alone
    prediction = arrays["joint.prediction.weight"]
    prediction[:2] = 0.0
    prediction[:2, 0] = -SHUT, SHUT
    arrays["joint.prediction.bias"][:2] = 0.0
    output = arrays["joint.output.weight"]
    output[:, :2] = 0.0
    output[1:-1:2, 0] = output[0:-1:2, 1] = FALL
    output[-1] = 0.0
    output[-1, :2] = -FALL
    arrays["joint.output.bias"][-1] = ABOVE
