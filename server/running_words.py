"""Words as they are completed: each word of a stream once, in order, with its times and confidence.

A result may hold a part of a word, and what it holds may be the last of a word or not: that is known
when the next word begins, an utterance ends, or the stream does. So a word is given with the result
that completes it, which is one of the next ones after its last token. Provisional text has no words
here.
"""

from __future__ import annotations

from server.transcript import Piece, TimedWord, TokenText, timed_words
from stream.engine import Result
from stream.words import FRAME_SECONDS

__all__ = ["RunningWords"]


class RunningWords:
    """The word that is being said.

    Args:
        token_text: of the served model.
    """

    def __init__(self, token_text: TokenText) -> None:
        self._token_text = token_text
        self._pieces: list[Piece] = []  # of the open word, and of words before it
        self._given = 0  # words of these pieces that were given

    def add(self, result: Result) -> tuple[TimedWord, ...]:
        """Take a result of the stream; return the words that are complete with it."""
        for token in result.tokens:
            start = round(FRAME_SECONDS * token.step, 4)
            end = round(FRAME_SECONDS * (token.step + 1), 4)
            text = self._token_text(token.id)
            self._pieces.append(Piece(token.id, text, start, end, token.log_probability))
        ended = result.last or result.endpoint
        if not self._pieces or not (result.tokens or ended):
            return ()
        words = timed_words(self._pieces)
        complete = words[self._given : len(words) if ended else len(words) - 1]
        self._given += len(complete)
        if ended:
            self._pieces.clear()
            self._given = 0
        else:
            self._forget()
        return complete

    def _forget(self) -> None:
        """Let go of what stands before the piece that begins the open word."""
        for index in range(len(self._pieces) - 1, 0, -1):
            text = self._pieces[index].text
            if text.startswith(" ") and text.strip():
                self._given -= len(timed_words(self._pieces[:index]))
                del self._pieces[:index]
                return
