from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.protocol.running_words import RunningWords
from stream.engine.alignment import Span
from stream.engine.engine import Result, Token
from stream.transcripts.transcript import Piece, timed_words

TEXTS = ["", " one", " tw", "o", " ", " ⁇ ", "x y", "s"]


def result(*tokens: tuple[int, int], spans: tuple[tuple[float, float], ...] = ()) -> Result:
    made = tuple(Token(id_, step, math.log(0.5 + id_ / 100)) for id_, step in tokens)
    texts = tuple(TEXTS[token.id] for token in made)
    timed = tuple(Span(*span) for span in spans)
    return Result(0, 0.0, 0.06, "".join(texts), made, False, spans=timed, texts=texts)


def test_a_word_comes_with_the_result_that_says_when_it_sounds() -> None:
    words = RunningWords()
    assert words.add(result((1, 5))) == ()
    assert words.add(result()) == ()
    (one,) = words.add(result((2, 9), spans=((0.1, 0.4),)))
    assert (one.text, one.start, one.end, one.confidence) == ("one", 0.1, 0.4, pytest.approx(0.51))
    assert words.add(result((3, 10))) == ()
    (two,) = words.add(result(spans=((0.45, 0.5), (0.5, 0.63))))
    assert (two.text, two.start, two.end, two.confidence) == (
        "two",
        0.45,
        0.63,
        pytest.approx(0.52),
    )


@given(st.lists(st.integers(0, len(TEXTS) - 1), max_size=20), st.data())
def test_all_words_together_are_those_of_the_whole_stream(
    ids: list[int], data: st.DataObject
) -> None:
    """Whatever words come with the last token of another, and however many at once."""
    begins = [n for n, id_ in enumerate(ids) if TEXTS[id_].startswith(" ") or n == 0]
    cuts = data.draw(st.sets(st.sampled_from(begins)) if begins else st.just(set[int]()))
    spans = [(0.1 * n, 0.1 * n + 0.05) for n in range(len(ids))]
    words, got, given_out = RunningWords(), [], 0
    for n, id_ in enumerate(ids):
        complete = spans[given_out:n] if n in cuts else []
        got += words.add(result((id_, n), spans=tuple(complete)))
        given_out += len(complete)
    got += words.add(result(spans=tuple(spans[given_out:])))
    pieces = [
        Piece(id_, TEXTS[id_], *span, math.log(0.5 + id_ / 100))
        for id_, span in zip(ids, spans, strict=True)
    ]
    assert got == list(timed_words(pieces))


def test_what_a_cut_character_adds_belongs_to_the_word_before_it() -> None:
    words = RunningWords()
    words.add(result((1, 5), (0, 6)))
    spans = (Span(0.1, 0.3), Span(0.3, 0.4))
    (word,) = words.add(Result(0, 0.06, 0.12, "\ufffd", (), True, spans=spans))
    assert (word.text, word.start, word.end) == ("one\ufffd", 0.1, 0.4)
