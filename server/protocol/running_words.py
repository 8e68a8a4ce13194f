"""Words as they are completed: each word of a stream once, in order, with its times and confidence.

A result may hold a part of a word, and what it holds may be the last of a word or not: that is known
when the next word begins, an utterance ends, or the stream does. Then the engine says when its tokens
sound (`stream.engine.engine.Result.spans`), and the word is given. Provisional text has no words here.
"""

from __future__ import annotations

from collections import deque

from server.protocol.transcript import Piece, TimedWord, pieces_of, rest_of, timed_words
from stream.engine.engine import Result

__all__ = ["RunningWords"]


class RunningWords:
    """The word that is being said."""

    def __init__(self) -> None:
        self._pieces: deque[Piece] = deque()  # of the open word

    def add(self, result: Result) -> tuple[TimedWord, ...]:
        """Take a result of the stream; return the words that are complete with it."""
        self._pieces.extend(pieces_of(result))
        if (rest := rest_of(result)) and self._pieces:
            self._pieces[-1] = self._pieces[-1]._replace(text=self._pieces[-1].text + rest)
        return timed_words(
            [self._pieces.popleft()._replace(start=start, end=end) for start, end in result.spans]
        )
