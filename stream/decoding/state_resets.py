"""State resets of whole recordings, as Myrtle merges them: overlapping segments, decoded apart.

NUMERICS 4.5, for recordings that are all there; on a live stream it is `stream.decoding.overlap`, whose
merging loses nothing. Lengths are in stacked frames (30 ms), steps are encoder frames (60 ms).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from stream.decoding.greedy import Token
from stream.encoders.lstm import PAIR

__all__ = ["LOOK_AHEAD", "Layout", "cut", "layout", "merge"]

LOOK_AHEAD = 3  # tokens on either side of a border among which a repetition is looked for


class Layout(NamedTuple):
    """Segments of a recording.

    Attributes:
        segments: how many.
        padding: zero frames that fill up the last one.
    """

    segments: int
    padding: int


def layout(frames: int, segment: int, overlap: int) -> Layout:
    """Return the segments of a recording of `frames` stacked frames; one, unfilled, if it is short.

    Raises:
        ValueError: the overlap is not shorter than the segment.
    """
    if not 0 <= overlap < segment:
        raise ValueError(f"state resets: overlap is {overlap}, wants 0 to {segment - 1} frames")
    if frames < segment:
        return Layout(1, 0)
    hop = segment - overlap
    count = max(-(-(frames - overlap) // hop), 1)
    return Layout(count, count * hop + overlap - frames)


def cut(x: NDArray[np.float32], segment: int, overlap: int) -> NDArray[np.float32]:
    """Cut stacked frames, (frames, 240), into segments, (count, segment, 240); frames if it is short."""
    count, padding = layout(len(x), segment, overlap)
    x = np.concatenate([x, np.zeros((padding, x.shape[1]), x.dtype)])
    size = min(segment, len(x))
    return np.stack([x[i * (segment - overlap) :][:size] for i in range(count)])


def merge(segments: Sequence[Sequence[Token]], segment: int, overlap: int) -> list[Token]:
    """Join the tokens of segments.

    Of every segment but the first, tokens whose step lies in the overlap go; of the first three left,
    those that the last three of the segment before have, in their order, go too. Steps then count
    from the start of the recording.

    Args:
        segments: tokens of each, their steps counted from its start.
        segment, overlap: stacked frames.
    """
    merged: list[Token] = []
    before: Sequence[Token] = ()
    for i, tokens in enumerate(segments):
        if i:
            first = -(-overlap // PAIR)
            tokens = _unrepeated([t for t in tokens if t.step >= first], before)
        shift = i * ((segment - overlap) // PAIR)
        merged += [replace(token, step=token.step + shift) for token in tokens]
        before = tokens
    return merged


def _unrepeated(tokens: list[Token], before: Sequence[Token]) -> list[Token]:
    """Drop the tokens among the first three that repeat the last three before them, in order."""
    trusted = [token.id for token in before[-LOOK_AHEAD:]]
    kept = []
    for token in tokens[:LOOK_AHEAD]:
        if token.id in trusted:
            trusted = trusted[trusted.index(token.id) + 1 :]
        else:
            kept.append(token)
    return kept + tokens[LOOK_AHEAD:]
