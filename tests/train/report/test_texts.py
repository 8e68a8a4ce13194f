"""The texts of a validation: the same samples each time, the worst first, pages cut short."""

from __future__ import annotations

from train.report.texts import LONGEST, Heard, report, shortened, spread, worst

HEARD = [
    Heard("a", "one two three", "one two three"),
    Heard("b", "yes", "no"),
    Heard("c", "left right up down", "right up town"),
    Heard("d", "", "noise"),
    Heard("e", "stop the car", "stop car"),
]


def test_samples_are_spread_over_all_utterances() -> None:
    assert [each.id for each in spread(HEARD, 2)] == ["a", "c"]
    assert [each.id for each in spread(HEARD, 9)] == list("abcde")
    assert spread(HEARD, 0) == spread([], 3) == []


def test_the_worst_have_the_most_errors_and_of_equal_ones_the_fewest_words() -> None:
    assert [each.id for each in worst(HEARD)] == ["c", "d", "b", "e"]
    assert [each.id for each in worst(HEARD, 1)] == ["c"]


def test_a_report_has_headline_samples_and_the_worst() -> None:
    assert report("update 7", HEARD[:2], 1) == (
        "update 7\n"
        "\n"
        "samples\n"
        "  a: 0 errors, 3 words\n"
        "    said   one two three\n"
        "    heard  one two three\n"
        "\n"
        "worst\n"
        "  b: 1 errors, 1 words\n"
        "    said   yes\n"
        "    heard  no\n"
    )
    assert report("update 7", HEARD[:1], 0) == "update 7\n"


def test_a_long_text_is_cut_and_says_by_how_much() -> None:
    assert shortened("x" * LONGEST) == "x" * LONGEST
    assert shortened("x" * LONGEST + "yz") == "x" * LONGEST + "... and 2 characters more"
