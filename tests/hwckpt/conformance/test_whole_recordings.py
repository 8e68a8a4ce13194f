"""Myrtle's segments of whole recordings, how they are joined, and where utterances end."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from hwckpt.conformance.whole_recordings import Termination, layout, merge, split, trim
from stream.decoding.greedy import Token


def tokens(**of: int) -> list[Token]:
    """Tokens by letter, in order, with their steps."""
    return [Token(ord(letter), step, -1.0) for letter, step in of.items()]


@pytest.mark.parametrize(
    ("frames", "segment", "overlap", "count", "padding"),
    [
        (100, 30, 0, 4, 20),
        (90, 30, 0, 3, 0),
        (100, 30, 10, 5, 10),
        (500, 500, 100, 1, 0),
        (501, 500, 100, 2, 399),
        (20, 500, 100, 1, 0),
        (0, 500, 100, 1, 0),
    ],
)
def test_segments_cover_a_recording(
    frames: int, segment: int, overlap: int, count: int, padding: int
) -> None:
    assert layout(frames, segment, overlap) == (count, padding)
    x = np.arange(frames * 2, dtype=np.float32).reshape(frames, 2)
    pieces = split(x, segment, overlap)
    assert len(pieces) == count
    assert pieces.shape[1] == (segment if frames >= segment else frames)
    hop = segment - overlap
    for i, piece in enumerate(pieces):
        there = x[i * hop : i * hop + segment]
        assert np.array_equal(piece[: len(there)], there)
        assert not piece[len(there) :].any()


@pytest.mark.parametrize("overlap", [-1, 30, 31])
def test_an_overlap_that_leaves_nothing_is_refused(overlap: int) -> None:
    with pytest.raises(ValueError, match=f"overlap is {overlap}, wants 0 to 29 frames"):
        layout(100, 30, overlap)


def test_tokens_in_the_overlap_and_repeated_ones_behind_it_are_dropped() -> None:
    # An overlap of 4 stacked frames are 2 steps, a hop of 22 are 11.
    first = tokens(d=0, b=1, i=4, f=6, e=9)
    second = tokens(b=0, f=2, e=4, i=5, g=8)
    merged = merge([first, second], 26, 4)
    assert "".join(chr(token.id) for token in merged) == "dbifeig"
    assert [token.step for token in merged] == [0, 1, 4, 6, 9, 16, 19]


def test_only_three_tokens_on_either_side_are_compared_and_in_order() -> None:
    first = tokens(a=1, b=7, c=8, d=9)
    assert "".join(
        chr(t.id) for t in merge([first, tokens(c=2, b=3, e=4, d=5)], 26, 4)
    ) == "abcdbed"  # fmt: skip
    assert merge([first, tokens(a=3)], 26, 4)[-1].step == 14


def test_each_segment_is_compared_with_what_was_left_of_the_one_before() -> None:
    merged = merge([tokens(a=1), tokens(a=2), tokens(a=2)], 26, 4)
    assert [(chr(token.id), token.step) for token in merged] == [("a", 1), ("a", 24)]


@pytest.mark.parametrize(
    ("tokens", "steps", "rules", "count", "ended"),
    [
        ([5, 6, 7], [1, 3, 60], {"silence": 2.0}, 2, ("silence", 2.22)),
        ([5, 6], [1, 3], {"silence": 2.0}, 2, ("silence", 2.24)),
        ([5, 6], [1, 3], {"silence": 5.0}, 2, ("never", None)),
        ([], [], {"silence": 2.0}, 0, ("silence", 2.0)),
        ([5, 1, 6, 1], [1, 4, 6, 8], {"eos": 1, "terminal": True}, 2, ("eos", 0.3)),
        ([5, 1, 6, 1, 1], [1, 4, 6, 8, 9], {"eos": 1}, 4, ("eos", 0.54)),
        ([5, 1, 6], [1, 4, 6], {"eos": 1}, 3, ("never", None)),
        ([5, 1, 6, 1], [1, 4, 60, 61], {"eos": 1, "silence": 2.0}, 2, ("silence", 2.28)),
        ([5, 6], [1, 90], {}, 2, ("never", None)),
    ],
)
def test_an_utterance_ends_at_its_first_endpoint(
    tokens: list[int],
    steps: list[int],
    rules: dict[str, Any],
    count: int,
    ended: tuple[str, float | None],
) -> None:
    got, termination = trim(tokens, steps, 140, **rules)
    assert got == count
    assert termination == Termination(*[pytest.approx(x) if x else x for x in ended])  # type: ignore[arg-type]
