"""Reports: rates of all recordings, of groups of them, and the words that are confused."""

from __future__ import annotations

import json
import math

import pytest

from stream.validation.report import Confusion, Group, Outcome, content, report_of


def outcome(
    said: str, heard: str, corpus: str | None = None, seconds: float = 1.0, name: str = "a.wav"
) -> Outcome:
    return Outcome(name, said, heard, [], [], [], corpus, seconds)


OUTCOMES = [
    outcome("one two three", "one too three", "digits", 1.5),
    outcome("four five", "five", "digits", 12.0),
    outcome("", "oh", "noise", 70.0),
    outcome("one two", "one too", None, 2.0),
]


def test_words_are_counted_by_corpus_and_by_length() -> None:
    report = report_of(OUTCOMES, rtf=0.1)
    assert (report.words, report.substitutions, report.deletions, report.insertions) == (7, 2, 1, 1)
    assert report.wer == pytest.approx(4 / 7)
    assert report.corpora == [
        Group("digits", 2, 13.5, 5, 1, 1, 0, 0.4),
        Group("noise", 1, 70.0, 0, 0, 0, 1, math.inf),
        Group("unnamed", 1, 2.0, 2, 1, 0, 0, 0.5),
    ]
    names = [(group.name, group.utterances) for group in report.lengths]
    assert names == [
        ("under 2 s", 1),
        ("2 to 5 s", 1),
        ("10 to 20 s", 1),
        ("60 s and more", 1),
    ]


def test_the_most_frequent_confusions_come_first() -> None:
    assert report_of(OUTCOMES, rtf=0.1).confusions == [
        Confusion("two", "too", 2),
        Confusion("four", None, 1),
        Confusion(None, "oh", 1),
    ]


def test_words_are_scored_in_the_form_that_is_asked_for() -> None:
    report = report_of([outcome("One", "one")], rtf=0.1, form=str.lower)
    assert report.wer == 0.0
    assert report.utterances[0].reference == "One"


def test_without_references_nothing_is_scored() -> None:
    report = report_of([outcome("dummy", "one")], rtf=0.1, scored=False)
    assert not report.scored and math.isnan(report.wer) and report.words == 0
    assert report.corpora == report.confusions == []
    assert [o.hypothesis for o in report.utterances] == ["one"]


def test_punctuation_and_ideographs_are_scored_where_there_are_any() -> None:
    plain = report_of([outcome("one", "one.")], rtf=0.1)
    assert plain.per is plain.mer is None
    report = report_of([outcome("One, two.", "One two."), outcome("世界 go", "世 go")], rtf=0.1)
    assert report.per == 0.5  # a comma is missing
    assert report.mer == pytest.approx(2 / 5)  # "One," and 界


def test_the_content_is_json_without_numbers_that_it_lacks() -> None:
    found = content(report_of(OUTCOMES, rtf=0.1))
    assert found["schema"] == "rill.validation/1" and found["different"] == 0
    assert found["corpora"][1]["wer"] is None
    assert json.loads(json.dumps(found, allow_nan=False)) == found
