"""Hypotheses of a beam: scored token sequences, and the memo of what the network made of each.

A `Path` is a value: never changed, replaced by the one that follows it. Its `Node` stands for its whole
token history and keeps the prediction network's output and state there, so that a history that is
met again at a later frame is not computed again; a node lives as long as a path stands on it.

Two histories with the same text are one hypothesis. The text is compared by a hash over the pieces'
characters, in which a word mark right behind a word mark counts for nothing (NUMERICS 4.4). Bytes count
as the character that they are, once it is complete, and until then as none that there is.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, NamedTuple
from weakref import WeakValueDictionary

import numpy as np
from numpy.typing import NDArray

from stream.decoding.greedy import Token
from stream.stage import State
from stream.vocabulary import WORD_MARK, Piece, add

__all__ = ["Hypothesis", "Node", "Path", "TextHash", "log_add", "text_hash"]

MODULUS = 1_000_000_000_039
MULTIPLIER = 0x10FFFF
WAITING = 0x110000  # and a byte: the code of a byte that waits, behind those of all characters


@dataclass(frozen=True, slots=True)
class Hypothesis:
    """What may yet become of the transcript, from the end of its final part.

    Attributes:
        text: of the tokens; a new word begins with a space.
        tokens: that are not final.
        log_probability: natural log of its probability among those of the same frame.
        texts: what each of the tokens adds to the text.
    """

    text: str
    tokens: tuple[Token, ...]
    log_probability: float
    texts: tuple[str, ...] = ()


class Node:
    """A token history.

    Attributes:
        token: the last token, blank at the start.
        before: state of the prediction network before that token, until `g` is known.
        g: (J,) output of the prediction network after it, or None: not computed yet.
        prediction: state of the prediction network after it, without the batch axis.
    """

    __slots__ = ("__weakref__", "_children", "before", "g", "prediction", "token")

    def __init__(self, token: int, before: State) -> None:
        self.token, self.before = token, before
        self.g: NDArray[np.float32] | None = None
        self.prediction: State = None
        self._children: WeakValueDictionary[int, Node] | None = None  # few histories have any

    def child(self, token: int) -> Node:
        """Return the history that follows this one by a token."""
        if self._children is None:
            self._children = WeakValueDictionary()
        node = self._children.get(token)
        if node is None:
            node = self._children[token] = Node(token, self.prediction)
        return node

    def __deepcopy__(self, memo: dict[int, Any]) -> Node:
        return self  # what is known of a history never changes


class TextHash(NamedTuple):
    """The hash of a text.

    Attributes:
        value: of all of it.
        marked: whether it ends in a word mark.
        whole: of its characters, without bytes that wait for more.
        waiting: those bytes.
    """

    value: int = 0
    marked: bool = False
    whole: int = 0
    waiting: bytes = b""


class Path(NamedTuple):
    """A hypothesis as the search keeps it.

    Attributes:
        score: sum of log-probabilities and boosts.
        length: tokens since the start of the stream, start of sequence included.
        tokens: those that are not final.
        node: the whole history.
        text: hash of the whole text.
        symbols: tokens of this frame.
        keyword: state of the keyword trie.
        context: state of the n-gram model.
    """

    score: float
    length: int
    tokens: tuple[Token, ...]
    node: Node
    text: TextHash = TextHash()
    symbols: int = 0
    keyword: int = 0
    context: tuple[int, ...] = ()

    @property
    def mean(self) -> float:
        """Score per token, by which paths of different lengths compare."""
        return self.score / self.length

    def merged(self, score: float) -> Path:
        """Return this path with the probability of another of the same text added to its own."""
        return self._replace(score=log_add(self.score, score))


def log_add(a: float, b: float) -> float:
    """Return log(exp(a) + exp(b))."""
    high, low = (a, b) if a > b else (b, a)
    return high + math.log1p(math.exp(low - high))


def text_hash(text: TextHash, piece: Piece) -> TextHash:
    """Return the hash of a text and a piece behind it."""
    _, marked, value, waiting = text
    if waiting or isinstance(piece, bytes):
        characters, waiting = add(waiting, piece)
        piece = characters.replace(" ", WORD_MARK)
    if marked and piece.startswith(WORD_MARK):
        piece = piece[len(WORD_MARK) :]
    for character in piece:
        value = (value * MULTIPLIER + ord(character)) % MODULUS
    marked = piece.endswith(WORD_MARK) if piece else marked
    whole = value
    for byte in waiting:
        value = (value * MULTIPLIER + WAITING + byte) % MODULUS
    return TextHash(value, marked, whole, waiting)
