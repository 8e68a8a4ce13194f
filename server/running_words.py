"""Words as they are completed: each word of a stream once, in order, with its times and confidence.

A result may hold a part of a word, and what it holds may be the last of a word or not: that is known
when the next word begins, an utterance ends, or the stream does. Then the engine says when its tokens
sound (`stream.engine.Result.spans`), and the word is given. Provisional text has no words here.
"""

from __future__ import annotations

from collections import deque

from server.transcript import Piece, TimedWord, TokenText, timed_words
from stream.engine import Result, Token

__all__ = ["RunningWords"]


class RunningWords:
    """The word that is being said.

    Args:
        token_text: of the served model.
    """

    def __init__(self, token_text: TokenText) -> None:
        self._token_text = token_text
        self._tokens: deque[Token] = deque()  # of the open word

    def add(self, result: Result) -> tuple[TimedWord, ...]:
        """Take a result of the stream; return the words that are complete with it."""
        self._tokens.extend(result.tokens)
        if not result.spans:
            return ()
        pieces = []
        for start, end in result.spans:
            token = self._tokens.popleft()
            text = self._token_text(token.id)
            pieces.append(Piece(token.id, text, start, end, token.log_probability))
        return timed_words(pieces)
