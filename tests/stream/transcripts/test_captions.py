from __future__ import annotations

from stream.transcripts.captions import cues, srt, vtt
from stream.transcripts.transcript import TimedWord


def word(text: str, start: float, end: float) -> TimedWord:
    return TimedWord(text, start, end, 1.0)


def test_a_segment_is_a_cue_from_its_first_word_to_the_end_of_its_last() -> None:
    segments = [[word("four", 0.5, 0.8), word("one", 0.9, 1.6)], [word("two", 3601.25, 3602.5)]]
    assert srt(segments) == (
        "1\n00:00:00,500 --> 00:00:01,600\nfour one\n\n"
        "2\n01:00:01,250 --> 01:00:02,500\ntwo\n\n"
    )  # fmt: skip
    assert vtt(segments) == (
        "WEBVTT\n\n"
        "00:00:00.500 --> 00:00:01.600\nfour one\n\n"
        "01:00:01.250 --> 01:00:02.500\ntwo\n\n"
    )  # fmt: skip


def test_a_cue_ends_before_two_lines_are_full_seven_seconds_are_over_or_at_a_pause() -> None:
    wide = [word("x" * 27, 0.1 * i, 0.1 * i + 0.1) for i in range(4)]
    assert [len(cue.text) for cue in cues([wide])] == [83, 27]
    slow = [word("a", 1.5 * i, 1.5 * i + 1) for i in range(6)]
    assert [(cue.start, cue.end) for cue in cues([slow])] == [(0.0, 7.0), (7.5, 8.5)]
    paused = [word("a", 0, 1), word("b", 3, 3.5), word("c", 5.6, 6)]
    assert [cue.text for cue in cues([paused])] == ["a b", "c"]


def test_a_cue_stays_until_it_is_read_or_the_next_one_appears() -> None:
    one, two = word("one", 1.0, 1.3), word("two", 5.0, 5.2)
    assert [(cue.start, cue.end) for cue in cues([[one], [two]])] == [(1.0, 2.0), (5.0, 6.0)]
    soon = [[one], [word("two", 1.5, 3.5)]]
    assert [(cue.start, cue.end) for cue in cues(soon)] == [(1.0, 1.5), (1.5, 3.5)]
    (wide,) = cues([[word("x" * 51, 1.0, 1.2)]])  # 17 characters a second
    assert (wide.start, wide.end) == (1.0, 4.0)
    assert next(cues([[word("one", 1.0, 2.5)], [two]])).end == 2.5


def test_markup_of_webvtt_is_text_and_nothing_said_is_no_cue() -> None:
    assert vtt([[word("at&t", 0, 1), word("<b>", 1, 2)]]).endswith("\nat&amp;t &lt;b&gt;\n\n")
    assert list(cues([[], []])) == []
    assert vtt([]) == "WEBVTT\n\n"
