"""Greedy decoding of a transducer: at each step the best class, until it is blank or a cap is reached.

NUMERICS 4.1 to 4.3. Rows are independent; those that emitted a token go through the joint again, as one
batch. The prediction network advances only where a token was emitted. Variants, by `GreedyConfig`:

1. counter "frame": the count of tokens is reset at every step (up to version 1.11 of the hardware).
2. counter "running": it is reset only when it reaches the cap, so after every `symbols_per_step`
   tokens one move in time is forced, even within a step (from version 1.12 on). At the last frame the
   count continues: reaching the cap stops the row there.
3. `sample_cap` with "frame" is tested before a step, whose tokens may exceed it; with "running" it is
   exact.
4. Keywords of a row choose among pieces where one is emitted, never between a piece and blank, so that
   silence gives none: of the pieces at most `KEYWORD_MARGIN` less probable than the best, the one of
   largest log-probability plus boost (`KeywordTrie.step`) is emitted.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from stream.backends import Backend
from stream.decoding.eos import EosRule
from stream.decoding.keywords import KeywordTrie
from stream.stage import Floats, Integers, State, map_state, take_rows, write_rows

KEYWORD_MARGIN = 2.0  # natural log
NO_KEYWORDS: Mapping[int, KeywordTrie] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class Token:
    """One emitted token.

    Attributes:
        id: of the piece.
        step: encoder frame, counted from the start of the stream.
        log_probability: natural log of its probability when it was chosen.
    """

    id: int
    step: int
    log_probability: float


@dataclass(frozen=True)
class GreedyConfig:
    """Options of a greedy decoder.

    Attributes:
        symbols_per_step: most tokens before time must move on; None: as the model's specification says.
        counter: "frame" or "running", see the rules above; None: as the model's specification says.
        sample_cap: most tokens of an utterance, or None.
        eos: id of the `<EOS>` token where the tokenizer has one, else None.
        eos_mode: "none" treats it as any piece; the others are those of `EosRule`.
        eos_alpha, eos_beta: of `EosRule`.
    """

    symbols_per_step: int | None = None
    counter: Literal["frame", "running"] | None = None
    sample_cap: int | None = None
    eos: int | None = None
    eos_mode: Literal["none", "predict", "blank", "ignore"] = "none"
    eos_alpha: float = 1.0
    eos_beta: float = 0.0

    def __post_init__(self) -> None:
        if self.symbols_per_step is not None and self.symbols_per_step < 1:
            raise ValueError(
                f"greedy: symbols_per_step is {self.symbols_per_step}, wants 1 or more"
            )
        if self.eos_mode != "none" and self.eos is None:
            raise ValueError(f"greedy: eos_mode {self.eos_mode!r} wants the id of the EOS token")

    def check_eos(self, blank: int) -> None:
        """Refuse an `eos` that is no piece of the vocabulary, which has `blank` pieces.

        Raises:
            ValueError: it is none.
        """
        if self.eos is not None and not 0 <= self.eos < blank:
            raise ValueError(
                f"greedy: eos is {self.eos}, the vocabulary has pieces 0 to {blank - 1}"
            )

    @property
    def eos_rule(self) -> EosRule | None:
        """The rule for `<EOS>`, or None: it is as any piece."""
        if self.eos is None or self.eos_mode == "none":
            return None
        return EosRule(self.eos, self.eos_mode, self.eos_alpha, self.eos_beta)


class GreedyState(NamedTuple):
    """State of a batch of rows, a tree of arrays, each with the row axis first.

    Attributes:
        g: (B, J) output of the prediction network after the last token.
        prediction: state of the prediction network.
        symbols: (B,) tokens since the counter was reset.
        emitted: (B,) tokens of the utterance.
        step: (B,) encoder frames seen.
        keyword: (B,) states of the keyword tries, of rows that have one.
    """

    g: Floats
    prediction: State
    symbols: Integers
    emitted: Integers
    step: Integers
    keyword: Integers


class Greedy:
    """A greedy decoder over a backend's joint and prediction network.

    Raises:
        ValueError: the config's `eos` is no piece of the vocabulary.
    """

    def __init__(self, backend: Backend, config: GreedyConfig | None = None) -> None:
        self.backend = backend
        self.config = config or GreedyConfig()
        self.blank = backend.specification.blank
        self.config.check_eos(self.blank)
        self._eos = self.config.eos_rule
        self._cap = self.config.symbols_per_step or backend.specification.token_cap
        own = backend.specification.symbol_counter or "frame"
        self._running = (self.config.counter or own) == "running"

    def initial_state(self, batch: int) -> GreedyState:
        """Return the state of rows at the start of a stream."""
        _, prediction = self.backend.initial_state(batch)
        start = np.full(batch, self.blank, np.int64)
        g, prediction = self.backend.predict(start, prediction)
        count, emitted, step, keyword = np.zeros((4, batch), np.int64)
        return GreedyState(g, prediction, count, emitted, step, keyword)

    def step(
        self,
        f: Floats,
        state: State,
        lengths: Integers | None = None,
        keywords: Mapping[int, KeywordTrie] = NO_KEYWORDS,
    ) -> tuple[list[list[Token]], GreedyState]:
        """Decode encoder frames as `decode` does; return the tokens of each row, and a new state."""
        after = GreedyState(*map_state(np.copy, tuple(state)))
        return self.decode(f, np.arange(len(f)), after, lengths, keywords), after

    def decode(
        self,
        f: Floats,
        rows: Integers,
        state: GreedyState,
        lengths: Integers | None = None,
        keywords: Mapping[int, KeywordTrie] = NO_KEYWORDS,
    ) -> list[list[Token]]:
        """Decode encoder frames of some rows of a state; see `stream.decoding.rows.GreedyDecoder`."""
        tokens: list[list[Token]] = [[] for _ in rows]
        for t in range(f.shape[1]):
            live = np.arange(len(rows)) if lengths is None else np.flatnonzero(lengths > t)
            self._frame(f[:, t], live, rows, state, tokens, keywords)
        return tokens

    def _frame(
        self,
        f: Floats,
        live: Integers,
        rows: Integers,
        state: GreedyState,
        tokens: list[list[Token]],
        keywords: Mapping[int, KeywordTrie],
    ) -> None:
        """Emit the tokens of the rows `live` of f, (B, J), at one encoder frame."""
        config, count, emitted = self.config, state.symbols, state.emitted
        seen = at = rows[live]
        if not self._running:
            count[at] = 0
            if config.sample_cap is not None:
                live = live[emitted[at] <= config.sample_cap]
        while live.size:
            at = rows[live]
            if self._running and config.sample_cap is not None:
                live = live[emitted[at] < config.sample_cap]
                if not live.size:
                    break
                at = rows[live]
            emits, ids, scores, log_probabilities = self._best(f[live], state.g[at], live)
            if not emits.size:
                break
            live, at = live[emits], at[emits]
            for i, row in enumerate(at.tolist()) if keywords else ():
                if row in keywords:
                    before = scores[i, ids[i]]
                    pieces = scores[i, : self.blank]
                    ids[i], state.keyword[row] = choose(
                        pieces, ids[i], keywords[row], state.keyword[row]
                    )
                    log_probabilities[i] += scores[i, ids[i]] - before
            steps = state.step[at].tolist()
            for row, *token in zip(
                live.tolist(), ids.tolist(), steps, log_probabilities.tolist(), strict=True
            ):
                tokens[row].append(Token(*token))
            count[at] += 1
            emitted[at] += 1
            self._advance(at, ids, state)
            full = count[at] >= self._cap
            if self._running:
                count[at[full]] = 0
            live = live[~full]
        state.step[seen] += 1

    def _best(
        self, f: Floats, g: Floats, rows: Integers
    ) -> tuple[Integers, Integers, NDArray[Any], NDArray[np.float64]]:
        """Choose the best class of each row, the lowest on ties.

        Returns:
            the indices of the rows whose choice is not blank, and of these the class, the
            log-probabilities of all classes up to a constant, and that of the class.
        """
        logits = self.backend.join(f, g)
        ids = logits.argmax(axis=1)
        best = logits[np.arange(len(ids)), ids]
        if not np.isfinite(best).all():  # the best is NaN where any is
            row = int(rows[np.flatnonzero(~np.isfinite(best))[0]])
            raise FloatingPointError(f"row {row}: the joint's logits are not finite")
        if self._eos is None:
            emits = np.flatnonzero(ids != self.blank)
            below = logits[emits] - best[emits, None]
            return emits, ids[emits], below, -np.log(np.exp(below, dtype=np.float64).sum(axis=1))
        wide = logits.astype(np.float64)
        top = wide.max(axis=1, keepdims=True)
        scores = wide - top - np.log(np.exp(wide - top).sum(axis=1, keepdims=True))
        self._eos.apply(scores, self.blank)
        ids = scores.argmax(axis=1)
        emits = np.flatnonzero(ids != self.blank)
        return emits, ids[emits], scores[emits], scores[emits, ids[emits]]

    def _advance(self, rows: Integers, ids: Integers, state: GreedyState) -> None:
        """Advance the prediction network of some rows by a token each."""
        state.g[rows], after = self.backend.predict(ids, take_rows(state.prediction, rows))
        write_rows(rows, after, state.prediction)


def choose(scores: NDArray[Any], best: int, trie: KeywordTrie, state: int) -> tuple[int, int]:
    """Choose among pieces with a row's keywords (rule 4).

    Args:
        scores: (V,) log-probabilities of the pieces up to a constant; -inf forbids one.
        best: the piece of the largest.
        trie: the keywords.
        state: of the trie.
    Returns:
        the piece and the trie's state after it.
    """
    near = np.flatnonzero(scores >= scores[best] - KEYWORD_MARGIN)
    near = near[np.argsort(-scores[near], kind="stable")]
    chosen = int(near[trie.choose(int(state), near.tolist(), scores[near].tolist())])
    return chosen, trie.step(int(state), chosen)[1]
