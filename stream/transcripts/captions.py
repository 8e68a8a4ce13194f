"""Captions: timed words as cues, in SubRip (SRT) and WebVTT.

1. A cue holds words of one segment. It ends at a pause, and before it would be longer than two lines of a
   subtitle or a viewer would wait for the next one.
2. It appears with its first word, and stays after its last one until a viewer has had time to read it, or
   the next cue appears. Cues do not overlap.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from html import escape
from typing import NamedTuple, TypeAlias

from stream.transcripts.transcript import TimedWord

CHARACTERS = 84  # two lines of a subtitle
SECONDS = 7.0
PAUSE = 2.0  # seconds between two words that are not shown together
SHORTEST = 1.0  # seconds that a cue stays, where the next one leaves so many
READING = 17  # characters a second; subtitles for adults have up to 20, broadcasters 12 to 17

Segments: TypeAlias = Iterable[Sequence[TimedWord]]


class Cue(NamedTuple):
    """A caption: its text, and when it is shown, seconds."""

    start: float
    end: float
    text: str


def cues(segments: Segments) -> Iterator[Cue]:
    """Yield the cues of the words of each segment."""
    lines = list(_lines(segments))
    following = [*(line[0].start for line in lines[1:]), math.inf]
    for line, until in zip(lines, following, strict=False):
        start = line[0].start
        text = " ".join(word.text for word in line)
        read = start + max(SHORTEST, len(text) / READING)
        yield Cue(start, max(line[-1].end, min(read, until)), text)


def srt(segments: Segments) -> str:
    """Return a SubRip file of the words of each segment."""
    return "".join(
        f"{number}\n{_clock(cue.start, ',')} --> {_clock(cue.end, ',')}\n{cue.text}\n\n"
        for number, cue in enumerate(cues(segments), 1)
    )


def vtt(segments: Segments) -> str:
    """Return a WebVTT file of the words of each segment."""
    return "WEBVTT\n\n" + "".join(
        f"{_clock(cue.start, '.')} --> {_clock(cue.end, '.')}\n{escape(cue.text, quote=False)}\n\n"
        for cue in cues(segments)
    )


def _lines(segments: Segments) -> Iterator[Sequence[TimedWord]]:
    """Yield the words of each cue (rule 1)."""
    for words in segments:
        line: list[TimedWord] = []
        for word in words:
            if line and not _fits(line, word):
                yield line
                line = []
            line.append(word)
        if line:
            yield line


def _fits(line: Sequence[TimedWord], word: TimedWord) -> bool:
    length = sum(len(before.text) + 1 for before in line) + len(word.text)
    return (
        length <= CHARACTERS
        and word.end - line[0].start <= SECONDS
        and word.start - line[-1].end <= PAUSE
    )


def _clock(seconds: float, point: str) -> str:
    """Write a time as 00:00:00,000."""
    whole, milliseconds = divmod(round(seconds * 1000), 1000)
    return f"{whole // 3600:02d}:{whole // 60 % 60:02d}:{whole % 60:02d}{point}{milliseconds:03d}"
