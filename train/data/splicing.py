"""Splicing: runs of words from several recordings, joined at the borders between words.

A clip that gives words w to v is cut halfway through the pause before w and after v, but at most `MARGIN` away
from them; the pieces follow each other without a pause (`train.data.augmentation.crossfaded`). So a word gets
neighbours that no recording has, from other speakers and corpora, which joining whole recordings does not give.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np

from stream.front_end.log_mel import SAMPLE_RATE
from train.data.records.words import TimedWord
from train.data.rows import Clip

MARGIN = 0.06  # seconds of a pause that stay with a word
SHORTEST = 800  # samples, 50 ms, of a piece


def piece_of(
    clip: Clip,
    words: tuple[int, int],
    encode: Callable[[str], list[int]],
    rng: np.random.Generator,
) -> Clip:
    """Draw a run of a clip's words; the clip itself where it says no times of that many.

    Args:
        words: range of their number.
        encode: spells the text of the run.
    """
    if " ".join(word.text for word in clip.words) != clip.text:
        return clip
    runs = [
        (first, last)
        for first, word in enumerate(clip.words)
        if word.start is not None
        for last in range(first + words[0] - 1, min(first + words[1], len(clip.words)))
        if clip.words[last].end is not None and clip.words[last].text
    ]
    if not runs:
        return clip
    first, last = runs[rng.integers(len(runs))]
    begin, end = _borders(clip.words, first, last, len(clip.audio) / SAMPLE_RATE)
    audio = clip.audio[round(begin * SAMPLE_RATE) : round(end * SAMPLE_RATE)]
    if len(audio) < SHORTEST:
        return clip
    text = " ".join(word.text for word in clip.words[first : last + 1])
    return Clip(audio, text, encode(text), origin=clip.origin)


def _borders(
    words: Sequence[TimedWord], first: int, last: int, seconds: float
) -> tuple[float, float]:
    """Return where a run of words is cut out, seconds."""
    start, end = words[first].start or 0.0, words[last].end or seconds
    before = words[first - 1].end if first else -math.inf
    after = words[last + 1].start if last + 1 < len(words) else math.inf
    begin = start if before is None else max((before + start) / 2, start - MARGIN)
    until = end if after is None else min((end + after) / 2, end + MARGIN)
    return max(begin, 0.0), min(until, seconds)
