"""Transcripts: the results of one stream put together as text, timed words and segments.

This adds up `stream.engine.engine.Result`s; it knows no wire protocol. Times are seconds from the start of
the stream: for a token, when it sounds (`stream.engine.alignment`), until that is known its encoder frame.
Text keeps the spaces of the tokens: a new word begins with one, so that the texts of the segments,
concatenated, are the transcript, also where an endpoint fell within a word.

A word's confidence is the probability of its least certain token: one doubtful piece makes a word
doubtful, and the number does not depend on how many pieces a word has (a product would).
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

from stream.decoding.hypothesis import Hypothesis
from stream.engine.engine import Result
from stream.words import group


class Piece(NamedTuple):
    """A token, its text, its times in seconds, and the natural log of its probability."""

    id: int
    text: str
    start: float
    end: float
    log_probability: float


@dataclass(frozen=True, slots=True)
class TimedWord:
    """A word, its times in seconds, and how probable its least certain token was, 0 to 1."""

    text: str
    start: float
    end: float
    confidence: float

    def describe(self) -> dict[str, str | float]:
        """Return it for JSON, the confidence to four decimals."""
        return {
            "word": self.text,
            "start": self.start,
            "end": self.end,
            "confidence": round(self.confidence, 4),
        }


@dataclass(frozen=True, slots=True)
class Segment:
    """What was said between two endpoints.

    Attributes:
        number: from 0.
        start, end: seconds of audio that it covers.
        text: as the tokens have it; a new word begins with a space.
        pieces: its tokens.
    """

    number: int
    start: float
    end: float
    text: str
    pieces: tuple[Piece, ...]

    @property
    def words(self) -> tuple[TimedWord, ...]:
        """Its words, in order."""
        return timed_words(self.pieces)


def timed_words(pieces: Sequence[Piece]) -> tuple[TimedWord, ...]:
    """Join tokens to words; one whose text begins with a space begins a word."""
    said = [piece for piece in pieces if piece.text]
    return tuple(
        TimedWord(
            word.text,
            said[word.first].start,
            said[word.last].end,
            confidence(said[word.first : word.last + 1]),
        )
        for word in group([piece.text for piece in said], range(len(said)))
    )


def pieces_of(
    result: Result, before: float = 0.0, hypothesis: Hypothesis | None = None
) -> list[Piece]:
    """Return the tokens of a result with the times of their encoder frames.

    Args:
        before: seconds of audio before the first that the engine's clock counts.
        hypothesis: of the result, whose tokens are meant; None: the final ones.
    """
    said = hypothesis or result
    return [
        Piece(
            token.id,
            text,
            round(before + result.frame_seconds * token.step, 4),
            round(before + result.frame_seconds * (token.step + 1), 4),
            token.log_probability,
        )
        for token, text in zip(said.tokens, said.texts, strict=True)
    ]


def rest_of(result: Result) -> str:
    """Return what a result's text has after its tokens, which belongs to the last one before."""
    return result.text[sum(map(len, result.texts)) :]


def confidence(pieces: Iterable[Piece]) -> float:
    """Return the probability of the least certain token, 1.0 where there is none."""
    return min((math.exp(min(piece.log_probability, 0.0)) for piece in pieces), default=1.0)


class OpenSegment:
    """The segment that is being spoken, and the next ones after it.

    Attributes:
        number: of the segment, from 0.
        start, end: seconds of audio that it covers so far.
        text: what is final of it.
        provisional: what may follow, of the best hypothesis.
    """

    def __init__(self) -> None:
        self.number = -1
        self.end = 0.0
        self._begin()

    def _begin(self) -> None:
        self.number += 1
        self.start = self.end
        self.text = ""
        self.provisional = ""
        self._pieces: list[Piece] = []
        self._timed = 0  # of them, whose sound is known
        self._waiting: list[Piece] = []  # that may follow

    @property
    def words(self) -> tuple[TimedWord, ...]:
        """Its words so far, with those that may follow; the last ones have the times of their frames."""
        return timed_words(self._pieces + self._waiting)

    def add(self, result: Result, before: float = 0.0) -> Segment | None:
        """Add a result; return the segment that an endpoint or the end of the stream closes.

        Args:
            result: the next of the stream.
            before: seconds of audio before the first that the engine's clock counts.
        """
        self.end = round(before + result.end, 4)
        self.text += result.text
        self._pieces += pieces_of(result, before)
        if (rest := rest_of(result)) and self._pieces:
            last = self._pieces[-1]
            self._pieces[-1] = last._replace(text=last.text + rest)
        for span in result.spans:
            start, end = (round(before + seconds, 4) for seconds in span)
            self._pieces[self._timed] = self._pieces[self._timed]._replace(start=start, end=end)
            self._timed += 1
        self.provisional, self._waiting = "", []
        if result.provisional:
            self.provisional = result.provisional[0].text
            self._waiting = pieces_of(result, before, result.provisional[0])
        if not (result.endpoint or result.last):
            return None
        if result.last and result.spans:  # it ends with the last whole chunk, words may not
            self.end = max(self.end, self._pieces[-1].end)
        segment = Segment(self.number, self.start, self.end, self.text, tuple(self._pieces))
        self._begin()
        return segment


class Transcript:
    """All that was said in one stream.

    Attributes:
        segments: that are complete, and in which something was said, numbered from 0.
        duration: seconds of audio whose results are in.
    """

    def __init__(self) -> None:
        self._open = OpenSegment()
        self.segments: list[Segment] = []
        self.duration = 0.0

    def add(self, *results: Result) -> None:
        """Add the next results of the stream; the last one makes the transcript complete."""
        for result in results:
            segment = self._open.add(result)
            self.duration = self._open.end
            if segment is not None and segment.text:
                self.segments.append(replace(segment, number=len(self.segments)))

    @property
    def text(self) -> str:
        """The text so far that does not change any more."""
        return "".join([*(s.text for s in self.segments), self._open.text]).strip()

    @property
    def provisional(self) -> str:
        """What may follow the text, of the best hypothesis; a new word begins with a space."""
        return self._open.provisional

    @property
    def pieces(self) -> list[Piece]:
        """The tokens of all complete segments."""
        return [piece for segment in self.segments for piece in segment.pieces]

    @property
    def words(self) -> tuple[TimedWord, ...]:
        """The words of all complete segments, whole also where an endpoint fell within one."""
        return timed_words(self.pieces)
