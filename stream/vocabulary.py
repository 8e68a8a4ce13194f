"""Vocabulary: the pieces of a SentencePiece model, and what text a token adds to a transcript.

Text is streamed: a token's text is its piece with the word mark as a space, so the texts of the
tokens, concatenated, are the transcript after one leading space.

A model with byte fallback spells a character that it has no piece for by its UTF-8 bytes, a piece
`<0xE6>` each. Rules, which are those of SentencePiece's own decoder:

1. The text of a byte is "" until its character is complete; the last byte's text is the character.
2. A byte that no character can have there is U+FFFD, and so is each of those that another piece, or the
   end of the text, leaves incomplete.

So what text a token adds depends on the bytes before it that wait for more. They are a value that
whoever decodes keeps beside the tokens: `add` and `flush`.

Training a tokenizer is `train.tokenizer`.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

import sentencepiece

from stream.errors import InputError

WORD_MARK = "▁"
REPLACEMENT = "\ufffd"
SYMBOL = re.compile(r"<[a-zA-Z_]+>")
MARKED = re.compile(r"<.*>")  # a piece that spells nothing: <unk>, <EOS>, <|en|>
Piece: TypeAlias = str | bytes  # what a token spells: characters, or one byte of a character


def add(waiting: bytes, piece: Piece) -> tuple[str, bytes]:
    """Return what characters a piece completes, and the bytes that wait for more (rules 1 and 2).

    Args:
        waiting: bytes of an incomplete character, b"" at the start.
    """
    if isinstance(piece, str):
        return (flush(waiting) + piece if waiting else piece), b""
    rest, text = waiting + piece, ""
    while rest:
        length = _length(rest[0])
        if len(rest) < length and all(byte & 0xC0 == 0x80 for byte in rest[1:]):
            break
        try:
            text, rest = text + rest[:length].decode(), rest[length:]
        except UnicodeDecodeError:
            text, rest = text + REPLACEMENT, rest[1:]
    return text, rest


def flush(waiting: bytes) -> str:
    """Return what bytes add that nothing completes any more (rule 2)."""
    return REPLACEMENT * len(waiting)


def texts_of(
    tokens: Iterable[int], pieces: Sequence[Piece], waiting: bytes = b""
) -> tuple[list[str], bytes]:
    """Return what each token adds to the text, and the bytes that wait for more.

    Args:
        pieces: of all tokens, by id.
        waiting: bytes before the first token.
    """
    texts = []
    for token in tokens:
        text, waiting = add(waiting, pieces[token])
        texts.append(text)
    return texts, waiting


def _length(first: int) -> int:
    """Return how many bytes a character has, by its first."""
    return 1 if first < 0xC0 else 2 if first < 0xE0 else 3 if first < 0xF0 else 4


@dataclass(frozen=True)
class Alphabet:
    """The characters that a model spells, by pieces or byte by byte.

    Attributes:
        characters: those that pieces have.
        single: bytes that are pieces.
    """

    characters: frozenset[str] = frozenset()
    single: frozenset[int] = frozenset()

    @classmethod
    def of(cls, pieces: Iterable[Piece]) -> Alphabet:
        """Return the alphabet of some pieces."""
        characters: set[str] = set()
        single: set[int] = set()
        for piece in pieces:
            if isinstance(piece, str):
                characters.update(piece)
            else:
                single.update(piece)
        return cls(frozenset(characters), frozenset(single))

    def __contains__(self, character: str) -> bool:
        encoded = character.encode(errors="ignore")  # half a surrogate pair is no character
        return character in self.characters or (bool(encoded) and self.single.issuperset(encoded))


class Vocabulary:
    """Pieces by token id.

    Args:
        model: bytes of a SentencePiece model file.
    Raises:
        ValueError: the bytes are not a SentencePiece model.

    Attributes:
        pieces: as the model writes them, byte pieces as `<0xE6>`.
        spellings: the same, byte pieces as bytes.
        texts: the same with spaces for word marks, and "" for pieces without text.
    """

    def __init__(self, model: bytes) -> None:
        try:
            if not model:  # SentencePiece would take none for one to be loaded later
                raise RuntimeError("it is empty")
            self._processor = sentencepiece.SentencePieceProcessor(model_proto=model)
        except RuntimeError as error:
            raise ValueError(f"not a SentencePiece model ({len(model)} bytes): {error}") from error
        ids = range(self._processor.get_piece_size())
        self.pieces: tuple[str, ...] = tuple(self._processor.id_to_piece(i) for i in ids)
        self.spellings = tuple(self._spelling(i) for i in ids)
        self.texts = tuple(self._text(i) for i in ids)
        self._waiting = b""

    def _spelling(self, token: int) -> Piece:
        piece = self.pieces[token]
        return bytes.fromhex(piece[3:5]) if self._processor.is_byte(token) else piece

    def _text(self, token: int) -> Piece:
        if self._processor.is_unknown(token):
            return str(self._processor.decode([token]))  # a text of the model's own
        if self._processor.is_control(token):
            return ""
        spelling = self.spellings[token]
        return spelling.replace(WORD_MARK, " ") if isinstance(spelling, str) else spelling

    def __len__(self) -> int:
        return len(self.pieces)

    def text(self, token: int) -> str:
        """Return what the next token of a text adds to it; a new word begins with a space.

        For one text at a time, since incomplete characters wait here; streams use `texts_of`.
        """
        text, self._waiting = add(self._waiting, self.texts[token])
        return text

    def texts_without(self, token: int | None) -> tuple[Piece, ...]:
        """Return `texts` with none for a token such as `<EOS>`."""
        return tuple("" if i == token else text for i, text in enumerate(self.texts))

    @functools.cached_property
    def alphabet(self) -> Alphabet:
        """The characters that can be spelt; a piece such as `<EOS>` spells none."""
        return Alphabet.of(
            piece
            for piece in self.spellings
            if isinstance(piece, bytes) or not MARKED.fullmatch(piece)
        )

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


def read_vocabulary(path: Path) -> Vocabulary:
    """Read a SentencePiece model file.

    Raises:
        InputError: it is none.
        OSError: it cannot be read.
    """
    try:
        return Vocabulary(path.read_bytes())
    except ValueError as error:
        raise InputError(f"{path}: {error}") from error
