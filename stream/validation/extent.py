"""Extent of speech: when the sound of a recording begins and ends, by its energy.

The end of a spoken word from which user-perceived latency counts (`server.load`), and the reference for times of words
(`tests/benchmarks/word_times.py`), where no aligner gives one. It knows the whole recording, unlike
`stream.engine.alignment`, and no model. Checked by eye on spectrograms: 18 dB below the loudest, say, would cut off
the fricatives of "six" and "off", and the bursts of "left" and "eight".

1. Level: the power, in dB, of windows of 10 ms every 5 ms, of samples with pre-emphasis, which raises fricatives.
2. What is less than `DROP` below the loudest and more than `MARGIN` above the background, the level that a tenth of
   the windows are below, sounds. Stretches less than `GAP` apart are one, because stops close the mouth for so long;
   what is shorter than `SHORTEST` is a click.
3. A word is the stretch with the most energy. Several words last from the first to the last stretch that is within
   `LOUD` of the loudest.
4. Where the loudest is less than `CLEAR` above the background, noise may mask the edges, and there is no extent.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from stream.front_end.log_mel import SAMPLE_RATE
from stream.stage import Floats

PRE_EMPHASIS = 0.95
STEP = SAMPLE_RATE // 200
DROP, MARGIN, LOUD, CLEAR = 28.0, 10.0, 15.0, 27.0  # dB
GAP, SHORTEST = 30, 6  # steps
LOUDEST = 10  # steps whose mean is the loudest level
DIGITAL_SILENCE = 1e-12  # power; keeps the logarithm finite


def extent(samples: Floats, words: int = 1) -> tuple[float, float] | None:
    """Return the seconds at which the sound begins and ends; None: it cannot be told, or nothing sounds.

    Args:
        samples: (n,) float32 at 16 kHz.
        words: that are said; rule 3.
    """
    level = _level(samples)
    if not len(level):
        return None
    loudest = float(np.sort(level)[-LOUDEST:].mean())
    background = float(np.quantile(level, 0.1))
    if loudest - background < CLEAR:
        return None
    stretches = _stretches(level > max(loudest - DROP, background + MARGIN))
    if words > 1:
        stretches = [each for each in stretches if level[slice(*each)].max() > loudest - LOUD]
    elif stretches:
        stretches = [max(stretches, key=lambda each: (10 ** (level[slice(*each)] / 10)).sum())]
    if not stretches:
        return None
    first, last = stretches[0][0], stretches[-1][1]  # windows; half of the next one sounds, too
    return (first + 0.5) * STEP / SAMPLE_RATE, (last + 0.5) * STEP / SAMPLE_RATE


def _level(samples: Floats) -> NDArray[np.float64]:
    raised = np.append(samples[:1], samples[1:] - PRE_EMPHASIS * samples[:-1]).astype(np.float64)
    power = np.mean(raised[: len(raised) // STEP * STEP].reshape(-1, STEP) ** 2, axis=1)
    level: NDArray[np.float64] = 10 * np.log10((power[:-1] + power[1:]) / 2 + DIGITAL_SILENCE)
    return level


def _stretches(sounds: NDArray[np.bool_]) -> list[tuple[int, int]]:
    """Return the first window of each stretch and the one after its last (rule 2)."""
    edges = np.flatnonzero(np.diff(sounds, prepend=False, append=False))
    stretches: list[tuple[int, int]] = []
    for first, last in zip(edges[::2].tolist(), edges[1::2].tolist(), strict=True):
        if stretches and first - stretches[-1][1] < GAP:
            first = stretches.pop()[0]
        stretches.append((first, last))
    return [(first, last) for first, last in stretches if last - first >= SHORTEST]
