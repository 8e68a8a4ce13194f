"""Words as they are completed: each word of a stream once, in order, with its times and confidence.

A result may hold only a part of a word. A word is complete when the next one begins, or an utterance
or the stream ends. Then the engine reports when its tokens sound
(`stream.engine.engine.Result.spans`), and the word is returned. Provisional text has no words.
"""

from __future__ import annotations

from collections import deque

from stream.engine.engine import Result
from stream.transcripts.transcript import Piece, TimedWord, pieces_of, rest_of, timed_words


class RunningWords:
    """The word that is being spoken."""

    def __init__(self) -> None:
        self._pieces: deque[Piece] = deque()  # of the open word

    def add(self, result: Result) -> tuple[TimedWord, ...]:
        """Add the next result of the stream; return the words that it completes."""
        self._pieces.extend(pieces_of(result))
        if (rest := rest_of(result)) and self._pieces:
            self._pieces[-1] = self._pieces[-1]._replace(text=self._pieces[-1].text + rest)
        return timed_words(
            [self._pieces.popleft()._replace(start=start, end=end) for start, end in result.spans]
        )
