"""Words' times of a transcript: those of the words that were heard in their place."""

from __future__ import annotations

import pytest

from stream.ctm import CtmWord
from train.data.alignment import timed_words

TIMES = [(0.1, 0.3), (0.4, 0.6), (0.8, 1.0)]


def words(*texts: str) -> list[CtmWord]:
    return [CtmWord(text, *times) for text, times in zip(texts, TIMES, strict=True)]


@pytest.mark.parametrize(
    ("text", "heard", "want"),
    [
        ("a b c", "a b c", [0.1, 0.4, 0.8]),
        ("a x b c", "a b c", [0.1, None, 0.4, 0.8]),
        ("a c", "a b c", [0.1, 0.8]),
        ("a x c", "a b c", [0.1, None, 0.8]),
        ("x y", "a b c", [None, None]),
        ("", "a b c", []),
    ],
)
def test_words_that_were_heard_have_times(text: str, heard: str, want: list[float | None]) -> None:
    found = timed_words(text, words(*heard.split()))
    assert [word.text for word in found] == text.split()
    assert [word.start for word in found] == want


def test_a_word_may_be_heard_as_several() -> None:
    rule = {"20th": "twenty th", "Oh": "oh", "-": ""}.__getitem__
    first, second, mark = timed_words("Oh 20th -", words("oh", "twenty", "th"), rule)
    assert (first.start, first.end) == (0.1, 0.3)
    assert (second.start, second.end) == (0.4, 1.0)
    assert mark.start is None
