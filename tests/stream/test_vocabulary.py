"""Pieces to text and back."""

from __future__ import annotations

import pytest

from stream.vocabulary import Vocabulary
from tests.tiny import tiny_network


def test_token_texts_concatenate_to_the_transcript() -> None:
    vocabulary = tiny_network().vocabulary
    for i, piece in enumerate(vocabulary.pieces):
        if piece.startswith("▁") and len(piece) > 1:
            tokens = [i, i]
            text = "".join(vocabulary.text(token) for token in tokens)
            assert text.startswith(" ")
            assert text[1:] == vocabulary.decode(tokens)


def test_bytes_that_are_no_tokenizer_are_refused() -> None:
    for content in (b"", b"not a model", b"\x00" * 64):
        with pytest.raises(ValueError, match="not a SentencePiece model"):
            Vocabulary(content)
