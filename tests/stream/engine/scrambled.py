"""ScrambledBackend: a model whose logits are a hash of frame, token history and class.

No two histories are alike, every row is computed by integers and so for itself, and nothing has to be
trained. Its CTC head hashes frame and class alone. Pieces are letters.
"""

from __future__ import annotations

import itertools
import string
from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stream.model.specification import Specification
from stream.stage import State
from stream.vocabulary import WORD_MARK, Piece, Vocabulary

__all__ = ["Pieces", "ScrambledBackend", "frames", "letters"]

Floats = NDArray[np.float32]
HISTORIES = 1 << 20
LETTERS = string.ascii_lowercase


class Pieces(Vocabulary):
    """A vocabulary of pieces that no tokenizer was made for, characters or bytes."""

    def __init__(self, pieces: Iterable[Piece]) -> None:
        self.spellings = tuple(pieces)
        self.pieces = tuple(p if isinstance(p, str) else f"<0x{p[0]:02X}>" for p in self.spellings)
        self.texts = tuple(
            p.replace(WORD_MARK, " ") if isinstance(p, str) else p for p in self.spellings
        )


def letters(count: int, first: str = WORD_MARK) -> Vocabulary:
    """Return a vocabulary whose pieces are the word mark, or another first one, and letters, again and again."""
    return Pieces([first, *itertools.islice(itertools.cycle(LETTERS), count - 1)])


def frames(batch: int, count: int, seed: int = 0) -> Floats:
    """Return encoder frames, (batch, count, 1)."""
    return np.random.default_rng(seed).integers(0, 1 << 20, (batch, count, 1)).astype(np.float32)


class ScrambledBackend:
    """A `Backend` of `pieces` pieces.

    Args:
        pieces: of the vocabulary.
        spread: of the logits; the larger, the surer the model.
        blank: added to blank's logit.
    Attributes:
        predicted, joined: rows of each call.
    """

    def __init__(self, pieces: int, spread: float = 6.0, blank: float = 3.0) -> None:
        self.specification = Specification(vocabulary=pieces, joint=1)
        self._spread, self._blank = spread, blank
        self.predicted: list[int] = []
        self.joined: list[int] = []

    def initial_state(self, batch: int) -> tuple[State, State]:
        """Return no encoder state, and the history of nothing."""
        return (), (np.zeros((batch, 1), np.float32),)

    def encode(self, x: Any, state: State, present: Any = None) -> Any:
        """Frames are made up by tests."""
        raise NotImplementedError

    def predict(self, tokens: NDArray[np.int64], state: State) -> tuple[Floats, State]:
        """Hash the history and a token."""
        self.predicted.append(len(tokens))
        before = state[0].astype(np.int64)
        after = ((before * 7919 + tokens[:, None] * 104729 + 1) % HISTORIES).astype(np.float32)
        return after, (after,)

    def ctc(self, f: Floats) -> Floats:
        """Return the log-softmax of the logits after no token."""
        logits = self.join(f.reshape(-1, 1), np.zeros((f.shape[0] * f.shape[1], 1), np.float32))
        logits -= logits.max(axis=1, keepdims=True)
        total = np.log(np.exp(logits, dtype=np.float64).sum(axis=1, keepdims=True))
        return (logits - total).astype(np.float32).reshape(*f.shape[:2], logits.shape[1])

    def join(self, f: Floats, g: Floats) -> Floats:
        """Hash frame, history and class to logits in [0, spread)."""
        self.joined.append(len(f))
        classes = np.arange(self.specification.vocabulary + 1, dtype=np.uint64)
        with np.errstate(over="ignore"):
            x = f.astype(np.uint64) * np.uint64(0x9E3779B97F4A7C15)
            x = x + g.astype(np.uint64) * np.uint64(0xC2B2AE3D27D4EB4F)
            x = (x ^ (x >> np.uint64(29))) + classes * np.uint64(0x165667B19E3779F9)
            x = (x ^ (x >> np.uint64(32))) * np.uint64(0xBF58476D1CE4E5B9)
            x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        logits = (x >> np.uint64(40)).astype(np.float32) * np.float32(self._spread / (1 << 24))
        logits[:, -1] += np.float32(self._blank)
        return logits
