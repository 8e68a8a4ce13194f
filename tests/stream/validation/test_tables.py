from __future__ import annotations

from dataclasses import replace

from stream.validation import tables
from stream.validation.latency import latency_of
from stream.validation.report import Outcome, Report, report_of


def report(*pairs: tuple[str, str]) -> Report:
    outcomes = [Outcome(f"{i}.wav", *pair, [], [], []) for i, pair in enumerate(pairs)]
    return report_of(outcomes, rtf=0.05)


def test_the_worst_recordings_are_shown_with_what_was_said_and_heard() -> None:
    found = report(("one two", "one"), ("one", "one"), ("three", ""))
    assert list(tables.worst(found)) == [
        "2.wav\n    said  three\n    heard ",
        "0.wav\n    said  one two\n    heard one",
    ]


def test_the_line_of_rates_has_those_that_there_are() -> None:
    assert tables.rates(report(("one two", "one too"))) == (
        "WER 50.00 %   2 words, 1 substituted, 0 deleted, 0 inserted   CER 16.67 %   RTF 0.0500   "
        "1 utterances"
    )
    assert "   PER 100.00 %   RTF" in tables.rates(report(("one, two", "one two")))


def test_the_breakdown_names_groups_and_confusions() -> None:
    lines = list(tables.breakdown(report(("one two", "one too"), ("four", ""), ("", "oh"))))
    assert lines[1].split() == ["unnamed", "3", "0.0", "3", "1", "1", "1", "100.00"]
    assert lines[-3:] == [
        "heard as another: two → too (1)",
        "not heard: four (1)",
        "never said: oh (1)",
    ]


def test_the_first_of_the_lowest_error_rates_is_marked() -> None:
    wrong, right = report(("one", "two")), report(("one", "one"))
    rows = [tables.Row(name, r) for name, r in (("a", wrong), ("b", right), ("c", right))]
    lines = list(tables.comparison(rows))
    assert [line.endswith("<- best") for line in lines] == [False, False, True, False]
    assert lines[1].split() == ["100.00", "1", "0", "0", "100.00", "0.0500", "a"]


def test_latencies_are_shown_in_milliseconds() -> None:
    found = replace(report(("a", "a")), latency=latency_of([0.0, 0.1], [0.2]))
    assert tables.latency(found) == (
        "emission latency, ms: 100 in the median, 200 at 90 %, 200 at 99 %, 100 on average, of 3 words, "
        "the ends of 2 given, of the others by forced alignment"
    )
    assert "no word" in tables.latency(report(("a", "a")))
