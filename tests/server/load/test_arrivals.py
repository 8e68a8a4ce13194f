"""When words were on the screen for good, from scripted texts."""

from __future__ import annotations

import pytest

from server.load.arrivals import arrivals, final_text
from server.load.dialects import Said


def final(time: float, text: str) -> Said:
    return Said(time, text, final=True)


def maybe(time: float, text: str) -> Said:
    return Said(time, text, final=False)


@pytest.mark.parametrize(
    "said, words",
    [
        ([], []),
        ([maybe(1, " the")], []),  # never final
        ([final(1, " the"), final(2, " cat")], [("the", 1), ("cat", 2)]),
        # A word arrives with its last character, and text without a space goes on with it.
        ([final(1, " ca"), final(2, "t sat")], [("cat", 2), ("sat", 2)]),
        # Shown earlier without a break: the earlier time counts.
        ([maybe(1, " the"), maybe(2, " the ca"), final(3, " the cat")], [("the", 1), ("cat", 3)]),
        # A break: what was shown before it does not count.
        ([maybe(1, " the"), maybe(2, " a"), final(3, " the")], [("the", 3)]),
        # A text too short to reach a place neither shows nor breaks it.
        ([maybe(1, " the cat"), maybe(2, " the"), final(3, " the cat")], [("the", 1), ("cat", 1)]),
        # A final text takes its part of the provisional one; the rest is still shown.
        (
            [maybe(1, " the cat"), final(2, " the"), final(3, " cat")],
            [("the", 1), ("cat", 1)],
        ),
    ],
)
def test_a_word_arrives_when_it_is_first_seen_and_stays(
    said: list[Said], words: list[tuple[str, float]]
) -> None:
    assert arrivals(said) == words


def test_times_count_from_the_start_of_the_stream() -> None:
    assert arrivals([final(12.5, " the")], start=10.0) == [("the", 2.5)]


def test_the_final_text_has_no_provisional_part() -> None:
    assert final_text([maybe(1, " a"), final(2, " the"), maybe(3, " dog"), final(4, " cat")]) == (
        " the cat"
    )
