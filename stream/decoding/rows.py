"""Decoder rows: one interface to all decoders, over the rows of an engine.

An engine numbers its rows and does not know how they are decoded; the states are kept here, one per row.
Every method may be called for any row in any order, and no row changes another.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Generic, Protocol, TypeVar

from stream.decoding.beam import Beam, BeamState
from stream.decoding.ctc import CtcState
from stream.decoding.greedy import GreedyState, Token
from stream.decoding.hypothesis import Hypothesis
from stream.decoding.keywords import KeywordTrie
from stream.stage import Floats, Integers, map_state

State = TypeVar("State", GreedyState, CtcState)


class DecoderRows(ABC):
    """Rows of decoder states; nothing waits to become final unless a decoder says so."""

    @abstractmethod
    def restart(self, row: int, step: int = 0, keywords: KeywordTrie | None = None) -> None:
        """Put a row into its initial state; the next frame is encoder frame `step`."""

    @abstractmethod
    def step(self, f: Floats, rows: Integers, lengths: Integers | None = None) -> list[list[Token]]:
        """Decode encoder frames of different rows.

        Args:
            f: (B, T, J) projected encoder frames.
            rows: (B,) rows of the decoder that they belong to.
            lengths: (B,) frames of each row that count; None: all.
        Returns:
            the tokens of each row of f that became final.
        """

    def best(self, row: int) -> Sequence[Token]:
        """Return the tokens of the best hypothesis that are not final."""
        return ()

    def partials(self, row: int, waiting: bytes = b"") -> tuple[Hypothesis, ...]:
        """Return the hypotheses of what is not final, best first; see `Beam.partials`."""
        return ()

    def commit(self, row: int) -> list[Token]:
        """Make the best hypothesis final; return its tokens."""
        return []


class GreedyDecoder(Protocol[State]):
    """A greedy decoder of a batch: `stream.decoding.greedy.Greedy` or `stream.decoding.ctc.CtcGreedy`."""

    def initial_state(self, batch: int) -> State:
        """Return the state of rows at the start of a stream."""
        ...

    def decode(
        self,
        f: Floats,
        rows: Integers,
        state: State,
        lengths: Integers | None,
        keywords: Mapping[int, KeywordTrie],
    ) -> list[list[Token]]:
        """Decode encoder frames of some rows of a state, which is changed in place.

        Args:
            f: (B, T, J) projected encoder frames.
            rows: (B,) rows of the state, all different; no other is read.
            state: before the frames; after the call, after them.
            lengths: (B,) frames of each row that count; None: all.
            keywords: of the rows of the state that have any.
        Returns:
            the tokens of each row of f.
        Raises:
            FloatingPointError: a row's scores are not finite numbers.
        """
        ...


class GreedyRows(DecoderRows, Generic[State]):
    """Rows of a greedy decoder, whose tokens are final at once."""

    def __init__(self, greedy: GreedyDecoder[State], rows: int) -> None:
        self._greedy: GreedyDecoder[State] = greedy
        self._state: State = greedy.initial_state(rows)
        self._fresh: State = greedy.initial_state(1)
        self._keywords: dict[int, KeywordTrie] = {}

    def restart(self, row: int, step: int = 0, keywords: KeywordTrie | None = None) -> None:
        self._keywords.pop(row, None)
        if keywords is not None:
            self._keywords[row] = keywords

        def put(fresh: Floats, leaf: Floats) -> None:
            leaf[row] = fresh[0]

        map_state(put, tuple(self._fresh), tuple(self._state))
        self._state.step[row] = step

    def step(self, f: Floats, rows: Integers, lengths: Integers | None = None) -> list[list[Token]]:
        return self._greedy.decode(f, rows, self._state, lengths, self._keywords)


class BeamRows(DecoderRows):
    """Rows of a beam search."""

    def __init__(self, beam: Beam, rows: int) -> None:
        self._beam = beam
        self._states: list[BeamState] = [beam.initial_state() for _ in range(rows)]

    def restart(self, row: int, step: int = 0, keywords: KeywordTrie | None = None) -> None:
        self._states[row] = self._beam.initial_state(keywords, step)

    def step(self, f: Floats, rows: Integers, lengths: Integers | None = None) -> list[list[Token]]:
        tokens, after = self._beam.step(f, [self._states[row] for row in rows], lengths)
        for row, state in zip(rows, after, strict=True):
            self._states[row] = state
        return tokens

    def best(self, row: int) -> Sequence[Token]:
        return self._beam.commit(self._states[row])[0]

    def partials(self, row: int, waiting: bytes = b"") -> tuple[Hypothesis, ...]:
        return self._beam.partials(self._states[row], waiting)

    def commit(self, row: int) -> list[Token]:
        tokens, self._states[row] = self._beam.commit(self._states[row])
        return tokens
