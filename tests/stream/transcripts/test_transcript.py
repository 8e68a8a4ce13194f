from __future__ import annotations

import math

import pytest
from msgspec.structs import replace

from stream.engine.alignment import Span
from stream.engine.engine import Hypothesis, Result, Token
from stream.transcripts.transcript import (
    OpenSegment,
    Piece,
    TimedWord,
    Transcript,
    confidence,
    timed_words,
)

TEXTS = (" one", " thir", "teen", "")


def result(chunk: int, *ids: int, endpoint: bool = False, last: bool = False) -> Result:
    tokens = tuple(Token(i, chunk, -0.25 * (i + 1)) for i in ids)
    texts = tuple(TEXTS[i] for i in ids)
    text = "".join(texts)
    return Result(
        0, 0.06 * chunk, 0.06 * (chunk + 1), text, tokens, last, (), endpoint, texts=texts
    )


def test_text_grows_until_an_endpoint_closes_the_segment() -> None:
    transcript = OpenSegment()
    assert transcript.add(result(0, 0)) is None
    assert transcript.add(result(1, 1)) is None
    assert transcript.text == " one thir"
    segment = transcript.add(result(2, 2, endpoint=True))
    assert segment is not None
    assert (segment.number, segment.start, segment.end) == (0, 0.0, 0.18)
    assert segment.text == " one thirteen"
    assert transcript.text == ""


def test_the_end_of_the_stream_closes_the_last_segment_where_the_one_before_ended() -> None:
    transcript = OpenSegment()
    transcript.add(result(0, 0, endpoint=True))
    segment = transcript.add(result(1, last=True))
    assert segment is not None
    assert (segment.number, segment.start, segment.end, segment.text) == (1, 0.06, 0.12, "")


def test_provisional_text_is_that_of_the_best_hypothesis_and_replaced() -> None:
    transcript = OpenSegment()
    hypotheses = (Hypothesis(" a", (), -1.0), Hypothesis(" b", (), -2.0))
    transcript.add(Result(0, 0.0, 0.06, "", (), False, hypotheses))
    assert transcript.provisional == " a"
    transcript.add(result(1))
    assert transcript.provisional == ""


def test_words_cover_their_tokens_and_are_as_sure_as_the_least_certain() -> None:
    transcript = OpenSegment()
    transcript.add(result(1, 0))
    transcript.add(result(3, 1))
    segment = transcript.add(result(5, 3, 2, last=True))
    assert segment is not None
    assert segment.words == (
        TimedWord("one", 0.06, 0.12, math.exp(-0.25)),
        TimedWord("thirteen", 0.18, 0.36, math.exp(-0.75)),
    )


def test_words_lie_over_their_sound_once_it_is_known() -> None:
    transcript = OpenSegment()
    transcript.add(result(5, 0))
    transcript.add(replace(result(9, 1), spans=(Span(0.1, 0.3),)), before=1.0)
    sound = (Span(0.35, 0.4), Span(0.4, 0.6))
    segment = transcript.add(replace(result(10, 2, last=True), spans=sound), before=1.0)
    assert segment is not None
    assert [(w.text, w.start, w.end) for w in segment.words] == [
        ("one", 1.1, 1.3),
        ("thirteen", 1.35, 1.6),
    ]


def test_the_last_word_ends_within_the_recording_though_its_chunk_was_not_whole() -> None:
    recording = Transcript()
    recording.add(result(0, 0))
    recording.add(Result(0, 0.06, 0.06, "", (), True, spans=(Span(0.01, 0.09),)))
    assert recording.words[-1].end == recording.segments[-1].end == recording.duration == 0.09


def test_times_go_on_behind_a_restart() -> None:
    transcript = OpenSegment()
    segment = transcript.add(result(2, 0, last=True), before=1.5)
    assert segment is not None
    assert segment.end == 1.68
    assert (segment.words[0].start, segment.words[0].end) == (1.62, 1.68)


@pytest.mark.parametrize("log_probability, expected", [(0.1, 1.0), (-math.inf, 0.0)])
def test_confidence_is_a_probability(log_probability: float, expected: float) -> None:
    assert confidence([Piece(0, " a", 0.0, 0.06, log_probability)]) == expected


def test_tokens_without_text_make_no_word() -> None:
    assert timed_words([Piece(0, "", 0.0, 0.06, -9.0)]) == ()
    assert confidence([]) == 1.0


def test_a_recording_joins_what_an_endpoint_cut_within_a_word() -> None:
    recording = Transcript()
    recording.add(result(0, endpoint=True))
    recording.add(result(1, 0, 1, endpoint=True))
    recording.add(result(2, 2, last=True))
    assert recording.text == "one thirteen"
    assert [word.text for word in recording.words] == ["one", "thirteen"]
    assert [segment.number for segment in recording.segments] == [0, 1]
    assert recording.duration == 0.18


def test_a_transcript_grows_with_each_result_and_says_what_may_follow() -> None:
    transcript = Transcript()
    transcript.add(result(0, 0, endpoint=True), result(1, 1))
    maybe = (Hypothesis("teen", (), -1.0), Hypothesis("ty", (), -2.0))
    transcript.add(Result(0, 0.12, 0.18, "", (), False, maybe))
    assert (transcript.text, transcript.provisional) == ("one thir", "teen")
    assert [word.text for word in transcript.words] == ["one"]
    transcript.add(result(3, 2, last=True))
    assert (transcript.text, transcript.provisional) == ("one thirteen", "")


def test_what_a_cut_character_adds_is_of_the_last_piece_and_word() -> None:
    transcript = OpenSegment()
    transcript.add(result(0, 0))
    transcript.add(result(1, 3))
    segment = transcript.add(Result(0, 0.12, 0.18, "\ufffd", (), True))
    assert segment is not None
    assert (segment.text, [word.text for word in segment.words]) == (" one\ufffd", ["one\ufffd"])
    assert "".join(piece.text for piece in segment.pieces) == segment.text
