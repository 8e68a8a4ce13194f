"""Whole recordings as Myrtle's evaluation decodes them: overlapping segments, and where utterances end.

NUMERICS 4.5. Live streams have `stream.decoding.overlap`, whose joining loses nothing, and
`stream.decoding.endpoint`. Lengths are in stacked frames (30 ms), steps are encoder frames (60 ms).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Literal, NamedTuple

import numpy as np

from stream.decoding.greedy import Token
from stream.encoders.lstm import PAIR
from stream.stage import Floats
from stream.words import FRAME_SECONDS

LOOK_AHEAD = 3  # tokens on either side of a border among which a repetition is looked for
STACKED_SECONDS = 0.03
NEVER = np.iinfo(np.int64).max // 2  # steps


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


def split(x: Floats, segment: int, overlap: int) -> Floats:
    """Split stacked frames, (frames, 240), into segments, (count, segment, 240); frames if it is short."""
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


class Termination(NamedTuple):
    """Why an utterance ended, and at how many seconds; "never" has none."""

    reason: Literal["eos", "silence", "never"]
    seconds: float | None


def trim(
    tokens: Sequence[int],
    steps: Sequence[int],
    frames: int,
    *,
    silence: float = np.inf,
    eos: int | None = None,
    terminal: bool = False,
) -> tuple[int, Termination]:
    """Shorten an utterance to its first endpoint (NUMERICS 4.3).

    Args:
        tokens, steps: of the utterance.
        frames: its stacked frames, 30 ms each.
        silence: seconds without a token that end it; never before the first token.
        eos: id of the `<EOS>` token; one of several at the end counts once.
        terminal: whether the first `<EOS>` ends it, not only one at the end.
    Returns:
        how many tokens are left, and why.
    """
    count, ended = len(tokens), Termination("never", None)
    if eos is not None and eos in tokens:
        run = count  # where the last run of <EOS> begins
        while run and tokens[run - 1] == eos:
            run -= 1
        first = tokens.index(eos) if terminal else run
        if first < count:
            count, ended = first + 1, Termination("eos", (steps[first] + 1) * FRAME_SECONDS)
    gap = round(silence / FRAME_SECONDS) if np.isfinite(silence) else NEVER
    for i in range(1, count):
        if steps[i] - steps[i - 1] > gap:
            return i, Termination("silence", (steps[i - 1] + gap + 1) * FRAME_SECONDS)
    end = (steps[count - 1] + 1) * FRAME_SECONDS if count else 0.0
    if ended.reason == "never" and STACKED_SECONDS * frames - end > silence:
        ended = Termination("silence", end + silence)
    return count, ended
