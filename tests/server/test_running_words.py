from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.running_words import RunningWords
from server.transcript import Piece, timed_words
from stream.engine import Result, Token

TEXTS = ["", " one", " tw", "o", " ", " ⁇ ", "x y", "s"]


def result(*tokens: tuple[int, int], last: bool = False, endpoint: bool = False) -> Result:
    made = tuple(Token(id_, step, math.log(0.5 + id_ / 100)) for id_, step in tokens)
    text = "".join(TEXTS[token.id] for token in made)
    return Result(0, 0.0, 0.06, text, made, last, endpoint=endpoint)


def test_a_word_comes_with_the_result_that_completes_it() -> None:
    words = RunningWords(TEXTS.__getitem__)
    assert words.add(result((1, 0))) == ()
    assert words.add(result()) == ()
    (one,) = words.add(result((2, 4)))
    assert (one.text, one.start, one.end, one.confidence) == ("one", 0.0, 0.06, pytest.approx(0.51))
    assert words.add(result((3, 6))) == ()
    (two,) = words.add(result(last=True))
    assert (two.text, two.start, two.end, two.confidence) == (
        "two",
        0.24,
        0.42,
        pytest.approx(0.52),
    )


def test_an_endpoint_completes_a_word_and_the_next_token_begins_another() -> None:
    words = RunningWords(TEXTS.__getitem__)
    assert [word.text for word in words.add(result((2, 0), endpoint=True))] == ["tw"]
    assert words.add(result((3, 9))) == ()
    assert [word.text for word in words.add(result(last=True))] == ["o"]


@given(st.lists(st.lists(st.integers(0, len(TEXTS) - 1), max_size=4), max_size=12))
def test_all_words_together_are_those_of_the_whole_stream(chunks: list[list[int]]) -> None:
    words = RunningWords(TEXTS.__getitem__)
    got = []
    for step, ids in enumerate(chunks):
        got += words.add(result(*((id_, step) for id_ in ids)))
    got += words.add(result(last=True))
    pieces = [
        Piece(
            id_, TEXTS[id_], round(0.06 * k, 4), round(0.06 * (k + 1), 4), math.log(0.5 + id_ / 100)
        )
        for k, ids in enumerate(chunks)
        for id_ in ids
    ]
    assert got == list(timed_words(pieces))
