"""Files of transcripts: text, JSON, SRT, WebVTT and CTM, from the timed words of a recording."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import PurePath
from typing import Any

import msgspec

from stream.ctm import ctm_line
from stream.transcripts.captions import srt, vtt
from stream.transcripts.transcript import TimedWord


@dataclass(frozen=True)
class FileTranscript:
    """The transcript of a recording.

    Attributes:
        file: path or name of the recording.
        seconds: its length.
        text: all of it.
        segments: the words between two endpoints; a segment in which nothing was said is left out.
    """

    file: str
    seconds: float
    text: str
    segments: tuple[tuple[TimedWord, ...], ...]


def write_text(transcript: FileTranscript) -> str:
    """Return the text as a line."""
    return f"{transcript.text}\n"


def write_json(transcript: FileTranscript) -> str:
    """Return one indented object."""
    return f"{msgspec.json.format(_encoded(transcript), indent=2).decode()}\n"


def write_jsonl(transcript: FileTranscript) -> str:
    """Return the object of JSON as a line."""
    return f"{_encoded(transcript).decode()}\n"


def write_ctm(transcript: FileTranscript) -> str:
    """Return a line for each word; the name of the file is that of the recording without its suffix."""
    name = PurePath(transcript.file).stem
    return "".join(
        f"{ctm_line(name, word.text, word.start, word.end)}\n"
        for words in transcript.segments
        for word in words
    )


# By name, which is also the suffix of a file, except of text.
FORMATS: Mapping[str, Callable[[FileTranscript], str]] = {
    "text": write_text,
    "json": write_json,
    "jsonl": write_jsonl,
    "srt": lambda transcript: srt(transcript.segments),
    "vtt": lambda transcript: vtt(transcript.segments),
    "ctm": write_ctm,
}
TIMED = ("srt", "vtt", "ctm")  # those that hold nothing but timed words
JOINED = ("text", "jsonl", "ctm")  # those of which several recordings are one stream of lines


def suffix_of(name: str) -> str:
    """Return the suffix of a format's files."""
    return ".txt" if name == "text" else f".{name}"


def _encoded(transcript: FileTranscript) -> bytes:
    content: dict[str, Any] = {
        "schema": "rill.transcript/1",
        "file": transcript.file,
        "seconds": round(transcript.seconds, 3),
        "text": transcript.text,
        "segments": [
            {
                "start": words[0].start,
                "end": words[-1].end,
                "text": " ".join(word.text for word in words),
            }
            for words in transcript.segments
        ],
        "words": [word.describe() for words in transcript.segments for word in words],
    }
    return msgspec.json.encode(content)
