"""CTC: greedy and beam search over the log-probabilities of a backend's CTC head (NUMERICS 4.7).

CTC gives each encoder frame one class. Successive frames of one class are one token, and blank is no
token (Graves et al., 2006), so "a a" needs a blank between its tokens. A token's step is the first frame
of its run, and its confidence the log-probability there. Nothing is fed back, so a frame costs one product.

Greedy takes the best class of each frame. Keywords of a row choose by rule 4 of `stream.decoding.greedy` at
the first frame of a run; the token of the run before, if no blank lies between, cannot be chosen.

`CtcBeam` is prefix search: a hypothesis sums the probabilities of all its alignments, those that end in
blank and those that end in its last token apart, since only the former may be followed by that token
again. Each frame extends every hypothesis by every candidate (`stream.decoding.beam`, rule 1):

1. Blank, and the hypothesis' last token, where it does not follow a blank, leave the hypothesis as it is.
2. Any other token makes it longer, with the terms of n-gram model and keywords.
3. Hypotheses of the same text and last token are one: probabilities add up, and the more probable one's
   tokens and steps stay. The `width` best are kept.
4. Hypotheses compare by score, not by score per token: the score is the probability of a text, blanks
   included. Dividing by the token count would favour texts with too many tokens. For the same reason
   `temperature`, which would flatten it, and `score_threshold` are not used.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np

from stream.backends import Backend
from stream.decoding.beam import Beam, BeamState
from stream.decoding.greedy import NO_KEYWORDS, GreedyConfig, Token, choose
from stream.decoding.hypothesis import Candidates, Node, Path, log_add
from stream.decoding.keywords import KeywordTrie
from stream.errors import ArgumentError
from stream.stage import Floats, Integers

NEVER = -np.inf  # log-probability of no alignment


class CtcState(NamedTuple):
    """State of a batch of rows, a tree of arrays, each with the row axis first.

    Attributes:
        best: (B,) best class of the last frame.
        chosen: (B,) token emitted for the run of that class; blank where it is blank.
        step: (B,) encoder frames seen.
        keyword: (B,) states of the keyword tries, of rows that have one.
    """

    best: Integers
    chosen: Integers
    step: Integers
    keyword: Integers


class CtcGreedy:
    """A greedy CTC decoder.

    Args:
        config: for `<EOS>`; counter and caps are the transducer's, which may emit many tokens in a frame.
    Raises:
        ValueError: the config's `eos` is no piece of the vocabulary.
    """

    def __init__(self, backend: Backend, config: GreedyConfig | None = None) -> None:
        self.backend, self.blank = backend, backend.specification.blank
        config = config or GreedyConfig()
        config.check_eos(self.blank)
        self._eos = config.eos_rule

    def initial_state(self, batch: int) -> CtcState:
        """Return the state of rows at the start of a stream."""
        best, chosen = np.full((2, batch), self.blank, np.int64)
        return CtcState(best, chosen, *np.zeros((2, batch), np.int64))

    def decode(
        self,
        f: Floats,
        rows: Integers,
        state: CtcState,
        lengths: Integers | None = None,
        keywords: Mapping[int, KeywordTrie] = NO_KEYWORDS,
    ) -> list[list[Token]]:
        """Decode encoder frames of some rows of a state; see `stream.decoding.rows.GreedyDecoder`."""
        tokens: list[list[Token]] = [[] for _ in rows]
        scores = _scores(self.backend, f, lengths)
        if self._eos is not None:
            scores = scores.copy()
            self._eos.apply(scores.reshape(-1, scores.shape[-1]), self.blank)
        for t in range(f.shape[1]):
            live = np.arange(len(rows)) if lengths is None else np.flatnonzero(lengths > t)
            at = rows[live]
            best = scores[live, t].argmax(axis=1)
            silent = best == self.blank
            begins = ~silent & (best != state.best[at]) & (best != state.chosen[at])
            for i in np.flatnonzero(begins).tolist():
                row, of = int(at[i]), scores[live[i], t]
                token = int(best[i])
                if (trie := keywords.get(row)) is not None:
                    others = np.arange(self.blank) != state.chosen[row]
                    pieces = np.where(others, of[: self.blank], NEVER)
                    token, state.keyword[row] = choose(pieces, token, trie, state.keyword[row])
                state.chosen[row] = token
                tokens[live[i]].append(Token(token, int(state.step[row]), float(of[token])))
            state.best[at] = best
            state.chosen[at[silent]] = self.blank
            state.step[at] += 1
        return tokens


class CtcBeam(Beam):
    """A CTC prefix search.

    Args:
        vocabulary, config, ngram: see `Beam`; a frame adds one token at most.
    """

    def _prepare(self) -> Node:
        if self.config.internal_weight:
            raise ArgumentError(
                "internal-weight is for a transducer's prediction network; a CTC head has no internal language model"
            )
        self.config = replace(self.config, temperature=1.0, score_threshold=None)  # rule 4
        return Node(self.blank, ())

    def rank(self, path: Path) -> float:
        """Return the number by which hypotheses compare: the score (rule 4)."""
        return path.score

    def step(
        self, f: Floats, states: Sequence[BeamState], lengths: Integers | None = None
    ) -> tuple[list[list[Token]], list[BeamState]]:
        after = list(states)
        finals: list[list[Token]] = [[] for _ in after]
        scores = _scores(self.backend, f, lengths)
        for t in range(f.shape[1]):
            live = self._live(after, lengths, t)
            for row, candidates in zip(live, self.candidates(scores[live, t]), strict=True):
                paths = self._extended(after[row], candidates)
                tokens, after[row] = self._finals(after[row]._replace(paths=paths))
                finals[row] += tokens
        return finals, after

    def _extended(self, state: BeamState, candidates: Candidates) -> tuple[Path, ...]:
        """Extend the hypotheses of a channel by a frame (rules 1 to 3); returns the `width` best."""
        found: dict[tuple[int, int], Path] = {}

        def add(path: Path, blank: float, label: float) -> None:
            key = path.text.value, path.node.token
            path = path._replace(score=log_add(blank, label), blank=blank, label=label)
            there = found.get(key)
            if there is not None:
                better = path if path.score > there.score else there
                path = better._replace(
                    score=log_add(path.score, there.score),
                    blank=log_add(path.blank, there.blank),
                    label=log_add(path.label, there.label),
                )
            found[key] = path

        for path in state.paths:
            last = path.node.token
            for token, value in candidates:
                if token == self.blank:
                    add(path, path.score + value, NEVER)
                    continue
                before = path.score
                if token == last:
                    if path.label > NEVER:
                        add(path, NEVER, path.label + value)
                    before = path.blank
                if before > NEVER:
                    spoken = Token(token, state.step, value)
                    longer = self._extender.extend(path, before, spoken, state.keywords)
                    add(longer, NEVER, longer.score)
        ranked = sorted(found.values(), key=lambda path: -path.score)
        return tuple(ranked[: self.config.width])


def _scores(backend: Backend, f: Floats, lengths: Integers | None) -> Floats:
    """Return the log-probabilities (B, T, C) of frames; those that count are finite numbers."""
    scores = backend.ctc(f)
    broken = ~np.isfinite(scores).all(axis=2)
    if lengths is not None:
        broken &= np.arange(f.shape[1]) < lengths[:, None]
    if broken.any():
        row = int(np.argwhere(broken)[0, 0])
        raise FloatingPointError(f"row {row}: CTC's log-probabilities are not finite")
    return scores
