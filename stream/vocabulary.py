"""Vocabulary: the pieces of a SentencePiece model, and what text a token adds to a transcript.

Text is streamed: a token's text is its piece with the word mark as a space, so the texts of the
tokens, concatenated, are the transcript behind one leading space. Training a tokenizer is
`train.tokenizer`.
"""

from __future__ import annotations

import re

import sentencepiece

__all__ = ["Vocabulary"]

WORD_MARK = "▁"
SYMBOL = re.compile(r"<[a-zA-Z_]+>")
UNKNOWN_TEXT = " ⁇ "  # what SentencePiece itself writes for an unknown piece


class Vocabulary:
    """Pieces by token id.

    Args:
        model: bytes of a SentencePiece model file.
    Raises:
        ValueError: the bytes are not a SentencePiece model.
    """

    def __init__(self, model: bytes) -> None:
        try:
            if not model:  # SentencePiece would take none for one to be loaded later
                raise RuntimeError("it is empty")
            self._processor = sentencepiece.SentencePieceProcessor(model_proto=model)
        except RuntimeError as error:
            raise ValueError(f"not a SentencePiece model ({len(model)} bytes): {error}") from error
        ids = range(self._processor.get_piece_size())
        self.pieces = tuple(self._processor.id_to_piece(i) for i in ids)
        self._texts = tuple(
            UNKNOWN_TEXT
            if self._processor.is_unknown(i)
            else ""
            if self._processor.is_control(i)
            else self.pieces[i].replace(WORD_MARK, " ")
            for i in ids
        )

    def __len__(self) -> int:
        return len(self.pieces)

    def text(self, token: int) -> str:
        """Return what the token adds to the transcript; a new word begins with a space."""
        return self._texts[token]

    @property
    def symbols(self) -> tuple[str, ...]:
        """Pieces such as `<EOS>` that stand for no text and may be written in transcripts."""
        return tuple(
            piece
            for i, piece in enumerate(self.pieces)
            if SYMBOL.fullmatch(piece)
            and not self._processor.is_unknown(i)
            and not self._processor.is_control(i)
        )

    def unknown(self, text: str) -> list[str]:
        """Return the parts of a text that no pieces spell, in order."""
        pieces = self._processor.encode(text, out_type=str)  # an unknown one is what stands there
        ids = self._processor.encode(text)
        return [
            piece for piece, i in zip(pieces, ids, strict=True) if self._processor.is_unknown(i)
        ]

    def encode(self, text: str) -> list[int]:
        """Return the most probable tokens of a text."""
        return [int(i) for i in self._processor.encode(text)]

    def decode(self, tokens: list[int]) -> str:
        """Return the transcript of whole tokens, without the leading space."""
        return str(self._processor.decode(tokens))
