from __future__ import annotations

import json

import pytest

from stream.transcripts.formats import FORMATS, FileTranscript, suffix_of
from stream.transcripts.transcript import TimedWord

SPOKEN = FileTranscript(
    "calls/a talk.wav",
    2.0,
    "four one two",
    (
        (TimedWord("four", 0.5, 0.8, 0.98765), TimedWord("one", 0.9, 1.1, 1.0)),
        (TimedWord("two", 1.5, 1.75, 0.5),),
    ),
)
OBJECT = {
    "schema": "rill.transcript/1",
    "file": "calls/a talk.wav",
    "seconds": 2.0,
    "text": "four one two",
    "segments": [
        {"start": 0.5, "end": 1.1, "text": "four one"},
        {"start": 1.5, "end": 1.75, "text": "two"},
    ],
    "words": [
        {"word": "four", "start": 0.5, "end": 0.8, "confidence": 0.9877},
        {"word": "one", "start": 0.9, "end": 1.1, "confidence": 1.0},
        {"word": "two", "start": 1.5, "end": 1.75, "confidence": 0.5},
    ],
}


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("text", "four one two\n"),
        (
            "srt",
            "1\n00:00:00,500 --> 00:00:01,500\nfour one\n\n"
            "2\n00:00:01,500 --> 00:00:02,500\ntwo\n\n",
        ),
        (
            "vtt",
            "WEBVTT\n\n00:00:00.500 --> 00:00:01.500\nfour one\n\n"
            "00:00:01.500 --> 00:00:02.500\ntwo\n\n",
        ),
        ("ctm", "a_talk 1 0.500 0.300 four\na_talk 1 0.900 0.200 one\na_talk 1 1.500 0.250 two\n"),
    ],
)
def test_a_format_is_what_its_readers_take(name: str, content: str) -> None:
    assert FORMATS[name](SPOKEN) == content


def test_json_is_one_object_and_jsonl_the_same_in_a_line() -> None:
    assert json.loads(FORMATS["json"](SPOKEN)) == OBJECT
    line = FORMATS["jsonl"](SPOKEN)
    assert json.loads(line) == OBJECT
    assert line.count("\n") == 1


def test_text_is_written_to_txt() -> None:
    assert [suffix_of(name) for name in ("text", "srt")] == [".txt", ".srt"]
