"""Words and their times from tokens: grouping, CTM, latencies, percentiles."""

from __future__ import annotations

import pytest

from stream.words import Word, emission_latencies, group, percentile


def test_a_token_with_a_leading_space_begins_a_word() -> None:
    words = group([" he", "llo", " wor", "ld"], [1, 2, 5, 7])
    assert words == [Word("hello", 1, 2), Word("world", 5, 7)]
    assert words[1].start == pytest.approx(0.3)
    assert words[1].end == pytest.approx(0.48)


@pytest.mark.parametrize(
    ("texts", "want"),
    [
        ([], []),
        (["", ""], []),
        ([" "], []),
        (["a"], ["a"]),
        ([" a", "", "b"], ["ab"]),
        ([" ", "a", " ", "b"], ["a", "b"]),
        ([" one two"], ["one", "two"]),
        ([" a ", "b"], ["a", "b"]),
        (["a b", "c"], ["a", "bc"]),
    ],
)
def test_spaces_wherever_they_stand(texts: list[str], want: list[str]) -> None:
    words = group(texts, list(range(len(texts))))
    assert [word.text for word in words] == want
    assert " ".join(want) == " ".join("".join(texts).split())


def test_latencies_count_the_words_that_agree() -> None:
    reference = [("a", 1.0), ("b", 2.0), ("c", 3.0)]
    hypothesis = [("a", 1.2), ("x", 2.1), ("c", 3.5)]
    assert emission_latencies(reference, hypothesis) == pytest.approx([0.17, 0.47])
    assert emission_latencies(reference, []) == []


def test_percentiles_of_few_values() -> None:
    values = [5.0, 1.0, 3.0, 2.0]
    assert percentile(values, 50) == 2.5
    assert percentile(values, 99) == 5.0
    assert percentile(values, 100) == 5.0
    assert percentile(values, 0) == 1.0
    assert percentile([7.0], 99) == 7.0
