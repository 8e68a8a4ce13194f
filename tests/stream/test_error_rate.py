"""Error rates where jiwer's own answer would be an exception, and at corpus level."""

from __future__ import annotations

import math

import pytest

from stream.error_rate import (
    ErrorRate,
    aligned_words,
    character_error_rate,
    has_ideographs,
    mixed_error_rate,
    word_error_rate,
)


def test_edits_are_counted_over_the_corpus() -> None:
    rate = word_error_rate(["a b c", "d"], ["a x c e", ""])
    assert (rate.words, rate.substitutions, rate.deletions, rate.insertions) == (4, 1, 1, 1)
    assert rate.wer == 0.75


def test_words_heard_where_nobody_spoke_are_insertions() -> None:
    rate = word_error_rate(["", "one"], ["two three", "one"])
    assert (rate.words, rate.insertions, rate.wer) == (1, 2, 2.0)


def test_without_reference_words_the_rate_is_zero_or_infinite() -> None:
    assert word_error_rate([""], [""]).wer == 0.0
    assert word_error_rate([], []).wer == 0.0
    assert word_error_rate([""], ["one"]).wer == math.inf


def test_characters_leave_spaces_out() -> None:
    assert character_error_rate(["a bc"], ["abd"]).wer == pytest.approx(1 / 3)


def test_mixed_text_counts_ideographs_one_by_one_and_the_rest_by_words() -> None:
    rate = mixed_error_rate(["hello 世界"], ["hello 世 bye"])
    assert (rate.words, rate.substitutions) == (3, 1)


def test_unequal_numbers_of_texts_are_refused() -> None:
    with pytest.raises(ValueError, match="2 references, but 1 hypotheses"):
        word_error_rate(["a", "b"], ["a"])


def test_words_are_aligned_pair_by_pair() -> None:
    said, heard = ["a b c", "", "d", "e"], ["a x c y", "z", "", "e"]
    aligned = aligned_words(said, heard)
    assert aligned == [
        [("a", "a"), ("b", "x"), ("c", "c"), (None, "y")],
        [(None, "z")],
        [("d", None)],
        [("e", "e")],
    ]
    assert ErrorRate.of(pair for row in aligned for pair in row) == word_error_rate(said, heard)
    assert aligned_words([], []) == [] and aligned_words([""], [""]) == [[]]
    with pytest.raises(ValueError, match="2 references, but 1 hypotheses"):
        aligned_words(["a", "b"], ["a"])


def test_ideographs_are_found_in_a_text() -> None:
    assert has_ideographs("go 世") and not has_ideographs("go")
