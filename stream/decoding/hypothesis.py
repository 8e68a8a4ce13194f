"""Hypotheses of a beam search: scored token sequences, and what the network computed for each.

A `Path` is a value: it never changes, the next one replaces it. Its `Node` stands for the whole token
history and keeps the prediction network's output and state after it, so that a history that occurs
again at a later frame is not computed again; a node lives as long as a path ends in it.

Two histories of the same text are one hypothesis. Texts are compared by a hash over the pieces'
characters, in which a word mark right after a word mark counts for nothing (NUMERICS 4.4). Bytes count
as their character once it is complete, and until then as characters that do not exist.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, TypeAlias
from weakref import WeakValueDictionary

from stream.decoding.greedy import Token
from stream.decoding.keywords import KeywordTrie
from stream.language_model.fusion import Context, LanguageModel
from stream.stage import Floats, State
from stream.vocabulary import WORD_MARK, Piece, add

Candidates: TypeAlias = list[tuple[int, float]]  # classes and log-probabilities, best first

MODULUS = 1_000_000_000_039
MULTIPLIER = 0x10FFFF
WAITING = 0x110000  # plus a byte: the code of a byte that waits, above those of all characters


@dataclass(frozen=True, slots=True)
class Hypothesis:
    """A possible continuation of the transcript's final part.

    Attributes:
        text: text of the tokens; a new word begins with a space.
        tokens: tokens that are not final.
        log_probability: natural log of its probability among the hypotheses of the same frame.
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
        internal: (C,) what the internal language model takes from the score of each class after it, or None: nothing.
    """

    __slots__ = ("__weakref__", "_children", "before", "g", "internal", "prediction", "token")

    def __init__(self, token: int, before: State) -> None:
        self.token, self.before = token, before
        self.g: Floats | None = None
        self.prediction: State = None
        self.internal: Floats | None = None
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
    """A hypothesis in a search.

    Attributes:
        score: natural log of its probability, with the terms of language models and keywords.
        length: tokens since the start of the stream, start of sequence included.
        tokens: tokens that are not final.
        node: the whole history.
        text: hash of the whole text.
        symbols: tokens of this frame.
        keyword: state of the keyword trie.
        context: of the language model.
        blank, label: of the score, that of the alignments which end in blank and in the last token (CTC).
    """

    score: float
    length: int
    tokens: tuple[Token, ...]
    node: Node
    text: TextHash = TextHash()
    symbols: int = 0
    keyword: int = 0
    context: Context = ()
    blank: float = 0.0
    label: float = -math.inf

    @property
    def mean(self) -> float:
        """Score per token, by which paths of different lengths compare."""
        return self.score / self.length

    def merged(self, score: float) -> Path:
        """Return this path with the probability of another of the same text added to its own."""
        return self._replace(score=log_add(self.score, score))


class Extender(NamedTuple):
    """Extends hypotheses by a token.

    Attributes:
        pieces: `Vocabulary.spellings`.
        ngram: language model, or None.
    """

    pieces: Sequence[Piece]
    ngram: LanguageModel | None

    def extend(self, path: Path, score: float, token: Token, keywords: KeywordTrie | None) -> Path:
        """Return a path that is longer by a token.

        Args:
            path: the path before the token.
            score: of the alignments of `path` that the token follows.
            token: the token, whose log-probability is added, with the terms of n-gram and keywords.
            keywords: of the channel.
        """
        score, keyword, context = score + token.log_probability, path.keyword, path.context
        if self.ngram is not None:
            term, context = self.ngram.step(context, token.id)
            score += term
        if path.node.internal is not None:
            score -= float(path.node.internal[token.id])
        if keywords is not None:
            term, keyword = keywords.step(keyword, token.id)
            score += term
        return Path(
            score,
            path.length + 1,
            (*path.tokens, token),
            path.node.child(token.id),
            text_hash(path.text, self.pieces[token.id]),
            path.symbols + 1,
            keyword,
            context,
        )


def log_add(a: float, b: float) -> float:
    """Return log(exp(a) + exp(b)); either may be -inf."""
    high, low = (a, b) if a > b else (b, a)
    return high if low == -math.inf else high + math.log1p(math.exp(low - high))


def text_hash(text: TextHash, piece: Piece) -> TextHash:
    """Return the hash of a text and a piece after it."""
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
