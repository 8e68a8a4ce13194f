"""Decoder rows: one interface to greedy and to beam search, over the rows of an engine.

An engine numbers its rows and knows nothing of how they are decoded; here lie the states, a row each.
Every method may be called for any row in any order, and no row changes another.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from stream.decoding.beam import Beam, BeamState
from stream.decoding.greedy import Greedy, GreedyState, Token
from stream.decoding.hypothesis import Hypothesis
from stream.decoding.keywords import KeywordTrie
from stream.stage import map_state

__all__ = ["BeamRows", "DecoderRows", "GreedyRows"]


class DecoderRows(Protocol):
    """Rows of decoder states."""

    def restart(self, row: int, step: int = 0, keywords: KeywordTrie | None = None) -> None:
        """Begin a row afresh, its tokens counting steps from `step` on."""
        ...

    def step(
        self,
        f: NDArray[np.float32],
        rows: NDArray[np.int64],
        lengths: NDArray[np.int64] | None = None,
    ) -> list[list[Token]]:
        """Decode encoder frames of different rows.

        Args:
            f: (B, T, J) projected encoder frames.
            rows: (B,) of the decoder.
            lengths: (B,) frames of each row that count; None: all.
        Returns:
            what became final of each row of f.
        """
        ...

    def best(self, row: int) -> Sequence[Token]:
        """Return what the best hypothesis adds to the finals."""
        ...

    def partials(self, row: int, waiting: bytes = b"") -> tuple[Hypothesis, ...]:
        """Return the hypotheses of what is not final, best first; see `Beam.partials`."""
        ...

    def commit(self, row: int) -> list[Token]:
        """Make the best hypothesis final; return its tokens."""
        ...


class GreedyRows:
    """Rows of a greedy decoder, whose tokens are final at once."""

    def __init__(self, greedy: Greedy, rows: int) -> None:
        self._greedy = greedy
        self._state: GreedyState = greedy.initial_state(rows)
        self._fresh: GreedyState = greedy.initial_state(1)
        self._keywords: dict[int, KeywordTrie] = {}

    def restart(self, row: int, step: int = 0, keywords: KeywordTrie | None = None) -> None:
        """Begin a row afresh; see `DecoderRows`."""
        self._keywords.pop(row, None)
        if keywords is not None:
            self._keywords[row] = keywords

        def put(fresh: NDArray[np.float32], leaf: NDArray[np.float32]) -> None:
            leaf[row] = fresh[0]

        map_state(put, tuple(self._fresh), tuple(self._state))
        self._state.step[row] = step

    def step(
        self,
        f: NDArray[np.float32],
        rows: NDArray[np.int64],
        lengths: NDArray[np.int64] | None = None,
    ) -> list[list[Token]]:
        """Decode encoder frames; see `DecoderRows`."""
        return self._greedy.decode(f, rows, self._state, lengths, self._keywords)

    def best(self, row: int) -> Sequence[Token]:
        """Return nothing: all is final."""
        return ()

    def partials(self, row: int, waiting: bytes = b"") -> tuple[Hypothesis, ...]:
        """Return nothing: all is final."""
        return ()

    def commit(self, row: int) -> list[Token]:
        """Return nothing: all is final."""
        return []


class BeamRows:
    """Rows of a beam search."""

    def __init__(self, beam: Beam, rows: int) -> None:
        self._beam = beam
        self._states: list[BeamState] = [beam.initial_state() for _ in range(rows)]

    def restart(self, row: int, step: int = 0, keywords: KeywordTrie | None = None) -> None:
        """Begin a row afresh; see `DecoderRows`."""
        self._states[row] = self._beam.initial_state(keywords, step)

    def step(
        self,
        f: NDArray[np.float32],
        rows: NDArray[np.int64],
        lengths: NDArray[np.int64] | None = None,
    ) -> list[list[Token]]:
        """Decode encoder frames; see `DecoderRows`."""
        tokens, after = self._beam.step(f, [self._states[row] for row in rows], lengths)
        for row, state in zip(rows, after, strict=True):
            self._states[row] = state
        return tokens

    def best(self, row: int) -> Sequence[Token]:
        """Return what the best hypothesis adds to the finals."""
        return self._beam.commit(self._states[row])[0]

    def partials(self, row: int, waiting: bytes = b"") -> tuple[Hypothesis, ...]:
        """Return the hypotheses of what is not final, best first; see `Beam.partials`."""
        return self._beam.partials(self._states[row], waiting)

    def commit(self, row: int) -> list[Token]:
        """Make the best hypothesis final; return its tokens."""
        tokens, self._states[row] = self._beam.commit(self._states[row])
        return tokens
