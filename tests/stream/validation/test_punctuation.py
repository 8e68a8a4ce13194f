"""Punctuation marks against the places where they belong."""

from __future__ import annotations

import pytest

from stream.validation.punctuation import (
    PunctuationErrors,
    punctuation_errors,
    punctuation_marks,
)


@pytest.mark.parametrize(
    ("said", "heard", "errors"),
    [
        ("Hi, dear. How?", "Hi, dear. How?", (3, 0, 0, 0)),
        ("Hi, dear! Nice to see you. What's", "Hi dear! Nice to see you! What's?", (2, 0, 1, 1)),
        ("one. two", "one, two", (0, 1, 0, 0)),
        ("one two.", "", (0, 0, 1, 0)),
        ("", "one.", (0, 0, 0, 1)),
        ("one two", "one three", (0, 0, 0, 0)),
        ("yes, he said, no", "yes, she said no,", (1, 0, 1, 1)),
    ],
)
def test_marks_are_right_where_the_words_have_them(
    said: str, heard: str, errors: tuple[int, int, int, int]
) -> None:
    assert punctuation_errors([said], [heard]) == PunctuationErrors(*errors)


def test_the_rate_counts_inserted_marks_in_both_parts() -> None:
    errors = punctuation_errors(["Hi, you.", "go"], ["Hi you.", "go?"])
    assert errors == PunctuationErrors(1, 0, 1, 1)
    assert errors.rate == pytest.approx(2 / 3)
    assert punctuation_errors(["a"], ["b"]).rate == 0.0


def test_marks_are_reduced_to_three() -> None:
    assert punctuation_marks('"Well-known; yes: really!"') == "Well known, yes. really."


def test_unequal_numbers_of_texts_are_refused() -> None:
    with pytest.raises(ValueError, match="2 references, but 1 hypotheses"):
        punctuation_errors(["a.", "b."], ["a."])
