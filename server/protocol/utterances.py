"""Utterances as they are spoken: the text since the last endpoint, whenever it changes, and when it ends."""

from __future__ import annotations

from dataclasses import dataclass

from stream.engine.engine import Result
from stream.transcripts.transcript import OpenSegment, TimedWord


@dataclass(frozen=True)
class Utterance:
    """An utterance so far.

    Attributes:
        text: with what may still change.
        words: of the text; the times of the last ones are exact only once it is final.
        start, end: seconds of the stream that it covers.
        final: whether it has ended, and nothing of it changes any more.
    """

    text: str
    words: tuple[TimedWord, ...]
    start: float
    end: float
    final: bool


class Utterances:
    """The utterances of one stream.

    Attributes:
        speaking: whether the current one has text.
    """

    def __init__(self) -> None:
        self._segment = OpenSegment()
        self._said = ("", "")  # its text, final and provisional

    @property
    def speaking(self) -> bool:
        return self._said != ("", "")

    def add(self, result: Result, before: float = 0.0) -> Utterance | None:
        """Add a result; return the utterance if its text has changed or it ends, None otherwise.

        Args:
            result: the next of the stream.
            before: seconds of audio before the first that the engine's clock counts.
        """
        segment = self._segment
        start = segment.start
        ended = segment.add(result, before)
        if ended is not None:
            self._said = ("", "")
            return Utterance(ended.text.strip(), ended.words, start, ended.end, True)
        said = (segment.text, segment.provisional)
        if said == self._said:
            return None
        self._said = said
        return Utterance("".join(said).strip(), segment.words, start, segment.end, False)
