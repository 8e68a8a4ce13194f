"""Beam search, synchronous in time, over the channels of a batch (NUMERICS 4.4).

The state of a channel is a value, `BeamState`; a step takes the states of its rows and returns new
ones, and no row's result depends on the others. For each encoder frame the joint and the prediction
network run on all hypotheses of all rows that are to be expanded, as one batch a round; a round more
is run only where hypotheses that were new in it turn out to be expanded too.

Rules, a channel and a frame:

1. Pool A holds the kept hypotheses, pool B none.
2. The best of A is expanded: log-softmax of the logits at `temperature`, EOS rule, the `width` best
   classes, less those further than `token_threshold` below the best; blank always. A hypothesis with
   `symbols_per_step` tokens of this frame gets blank only.
3. With blank it goes to B, with a token to A, its score rising by the log-probability and, for a
   token, by the n-gram's and the keywords' terms. Where its text is there already the probabilities
   add up: in B the earlier entry's content stays, in A the better one's.
4. When A is empty, or `width` members of B score above the best of A, the `width` best of B, or of
   those members, are kept; else rule 2 again.
5. Of the kept, those whose score per token is more than `score_threshold` below the best are dropped.
6. Tokens that all kept hypotheses begin with are final: they are given out and cut off, each with the
   earliest of its steps. If none is and the last final is `final_delay` seconds ago, the hypothesis
   with the worst score per token is dropped, until one is final or one is left.
7. Where a token waits for `final_delay` and `GRACE` more nevertheless, because finals trickle, the same
   is done: no final is ever later. This rule is not Myrtle's, and theirs comes first.
8. `commit` makes the best score per token final, all of it, and drops the rest: at the end of a
   stream, at an endpoint, and after a terminal `<EOS>` in the best-scored hypothesis.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from stream.backends import Backend, Logits
from stream.decoding.eos import EosRule
from stream.decoding.expansion import Candidates, Pools, Terms
from stream.decoding.fuzzy import fuzzy_logits
from stream.decoding.greedy import Token
from stream.decoding.hypothesis import Hypothesis, Node, Path, log_add
from stream.decoding.keywords import KeywordTrie
from stream.decoding.ngram import Ngram
from stream.stage import map_state
from stream.vocabulary import Vocabulary, texts_of
from stream.words import FRAME_SECONDS

__all__ = ["Beam", "BeamConfig", "BeamState"]

GRACE = 0.12  # seconds after `final_delay` within which rule 6 may still do it
ROWS_AT_ONCE = 256  # of the joint
ROWS_IN_CACHE = 32  # of its logits, which are gone over several times
CROWD = 16  # times `width`: of more classes within the threshold only the best are sorted


@dataclass(frozen=True)
class BeamConfig:
    """Which beam search.

    Attributes:
        width: hypotheses kept.
        temperature: by which logits are divided.
        score_threshold: rule 5, natural log per token; None: off.
        token_threshold: rule 2, natural log; None: off.
        symbols_per_step: most tokens of a hypothesis in a frame.
        final_delay: seconds after which a final is forced; None: never.
        eos: how `<EOS>` is decoded; None: as any piece.
        fuzzy: whether logits pass `stream.decoding.fuzzy` first.
    Raises:
        ValueError: a number is out of its range.
    """

    width: int = 4
    temperature: float = 1.4
    score_threshold: float | None = 0.4
    token_threshold: float | None = 1.5
    symbols_per_step: int = 8
    final_delay: float | None = 1.25
    eos: EosRule | None = None
    fuzzy: bool = False

    def __post_init__(self) -> None:
        for name in ("width", "symbols_per_step"):
            if getattr(self, name) < 1:
                raise ValueError(f"beam: {name} is {getattr(self, name)}, wants 1 or more")
        if not 0.0 < self.temperature < math.inf:
            raise ValueError(f"beam: temperature is {self.temperature}, wants a positive number")
        for name in ("score_threshold", "token_threshold", "final_delay"):
            value = getattr(self, name)
            if value is not None and not 0.0 <= value < math.inf:
                raise ValueError(f"beam: {name} is {value}, wants 0 or more, or None for off")


class BeamState(NamedTuple):
    """A channel between two frames.

    Attributes:
        paths: kept hypotheses, best score first; one at least.
        step: encoder frames seen.
        last: step of the last final token, or that at which one hypothesis was left.
        ended: whether a terminal `<EOS>` ended it; further frames change nothing.
        keywords: of the connection.
    """

    paths: tuple[Path, ...]
    step: int = 0
    last: int = 0
    ended: bool = False
    keywords: KeywordTrie | None = None


class Beam:
    """A beam search over a backend's joint and prediction network.

    Args:
        backend: that computes them.
        vocabulary: the pieces.
        config: which search.
        ngram: language model over the pieces, or None.
    Raises:
        ValueError: the config's `<EOS>` is no piece of the vocabulary.
    """

    def __init__(
        self,
        backend: Backend,
        vocabulary: Vocabulary,
        config: BeamConfig | None = None,
        ngram: Ngram | None = None,
    ) -> None:
        self.backend, self.vocabulary = backend, vocabulary
        self.config, self.ngram = config or BeamConfig(), ngram
        self.blank = backend.specification.blank
        eos = self.config.eos
        if eos is not None and eos.id >= self.blank:
            raise ValueError(
                f"beam: eos is {eos.id}, the vocabulary has pieces 0 to {self.blank - 1}"
            )
        self._texts = vocabulary.texts_without(None if eos is None else eos.id)
        width, symbols = self.config.width, self.config.symbols_per_step
        self._terms = Terms(width, symbols, self.blank, vocabulary.spellings, ngram)
        _, start = backend.initial_state(1)
        self._root = Node(self.blank, map_state(lambda leaf: leaf[0], start))
        self._predict([self._root])

    def initial_state(self, keywords: KeywordTrie | None = None, step: int = 0) -> BeamState:
        """Return the state of a channel at the start of a stream, or at `step` after a reset."""
        context = self.ngram.start if self.ngram is not None else ()
        path = Path(0.0, 1, (), self._root, context=context)
        return BeamState((path,), step, last=step, keywords=keywords)

    def step(
        self,
        f: NDArray[np.float32],
        states: Sequence[BeamState],
        lengths: NDArray[np.int64] | None = None,
    ) -> tuple[list[list[Token]], list[BeamState]]:
        """Decode encoder frames.

        Args:
            f: (B, T, J) projected encoder frames.
            states: of the B rows before them.
            lengths: (B,) frames of each row that count; None: all.
        Returns:
            the tokens of each row that became final, and the states after its last frame.
        Raises:
            FloatingPointError: a row's logits are not finite numbers.
        """
        after = list(states)
        finals: list[list[Token]] = [[] for _ in after]
        for t in range(f.shape[1]):
            live = [
                row
                for row, state in enumerate(after)
                if not state.ended and (lengths is None or t < lengths[row])
            ]
            frames = {}
            for row in live:
                paths, step, _, _, keywords = after[row]
                frames[row] = Pools(self._terms, paths, step, keywords)
            while True:
                wanted = [(row, node) for row, frame in frames.items() for node in frame.advance()]
                if not wanted:
                    break
                rows = np.array([row for row, _ in wanted])
                found = self._candidates(f[:, t], rows, [node for _, node in wanted])
                for (row, node), candidates in zip(wanted, found, strict=True):
                    frames[row].known[node] = candidates
            for row, frame in frames.items():
                tokens, after[row] = self._finals(after[row]._replace(paths=frame.kept()))
                finals[row] += tokens
        return finals, after

    def partials(self, state: BeamState, waiting: bytes = b"") -> tuple[Hypothesis, ...]:
        """Return the hypotheses of what is not final, best score per token first.

        None of them is empty: a hypothesis that nothing follows is left out.

        Args:
            waiting: bytes of an incomplete character at the end of what is final.
        """
        total = functools.reduce(log_add, (path.score for path in state.paths))
        return tuple(
            Hypothesis("".join(texts), path.tokens, path.score - total, tuple(texts))
            for path in sorted(state.paths, key=lambda path: -path.mean)
            if path.tokens
            for texts, _ in [texts_of((token.id for token in path.tokens), self._texts, waiting)]
        )

    def commit(self, state: BeamState) -> tuple[list[Token], BeamState]:
        """Make the best hypothesis final (rule 8); returns its tokens and the state after."""
        best = max(state.paths, key=lambda path: path.mean)
        rest = best._replace(tokens=())
        return list(best.tokens), state._replace(paths=(rest,), last=state.step)

    def _finals(self, state: BeamState) -> tuple[list[Token], BeamState]:
        """Prune, give out what is final, and count the frame (rules 5 to 8)."""
        config, paths, step = self.config, list(state.paths), state.step
        if config.score_threshold is not None:
            floor = max(path.mean for path in paths) - config.score_threshold
            paths = [path for path in paths if path.mean >= floor]
        eos = config.eos
        terminal = eos is not None and eos.terminal and paths[0].node.token == eos.id
        tokens, paths, last = _cut(paths, state.last)
        if config.final_delay is not None:
            waited = config.final_delay
            while len(paths) > 1 and not tokens and (step - last) * FRAME_SECONDS > waited:
                tokens, paths, last = _cut(_without_worst(paths), last)
            waited += GRACE
            while len(paths) > 1 and (step - _oldest(paths, step)) * FRAME_SECONDS > waited:
                more, paths, last = _cut(_without_worst(paths), last)
                tokens += more
        if len(paths) == 1:
            last = step
        after = state._replace(paths=tuple(paths), step=step + 1, last=last, ended=terminal)
        if terminal:
            rest, after = self.commit(after)
            tokens += rest
        return tokens, after

    def _predict(self, nodes: Sequence[Node]) -> None:
        """Run the prediction network at histories it has not seen."""
        ids = np.array([node.token for node in nodes], np.int64)
        before = map_state(lambda *leaves: np.stack(leaves), *(node.before for node in nodes))
        g, after = self.backend.predict(ids, before)
        for row, node in enumerate(nodes):
            # Copies: a view would keep the whole batch in memory.
            node.g = g[row].copy()
            node.prediction = map_state(lambda leaf, row=row: leaf[row].copy(), after)
            node.before = None

    def _candidates(
        self, f: NDArray[np.float32], rows: NDArray[np.int64], nodes: Sequence[Node]
    ) -> list[Candidates]:
        """Return the classes by which each history may go on, f (B, J), one row for each node."""
        unseen = list(dict.fromkeys(node for node in nodes if node.g is None))
        if unseen:
            self._predict(unseen)
        found: list[Candidates] = []
        for begin in range(0, len(nodes), ROWS_AT_ONCE):
            part = rows[begin : begin + ROWS_AT_ONCE]
            g = np.stack([node.g for node in nodes[begin : begin + ROWS_AT_ONCE]])  # type: ignore[misc]
            logits = self.backend.join(f[part], g)
            if not np.isfinite(logits).all():
                row = int(part[np.flatnonzero(~np.isfinite(logits).all(axis=1))[0]])
                raise FloatingPointError(f"row {row}: the joint's logits are not finite")
            for row in range(0, len(logits), ROWS_IN_CACHE):
                found += self._best(logits[row : row + ROWS_IN_CACHE])
        return found

    def _best(self, logits: Logits) -> list[Candidates]:
        """Return the classes of rule 2 for each row of logits, (N, C)."""
        config = self.config
        if config.fuzzy:
            logits = fuzzy_logits(logits)
        scores = logits - logits.max(axis=1, keepdims=True)
        scores *= np.float32(1.0 / config.temperature)
        total = np.log(np.exp(scores).sum(axis=1, keepdims=True))
        if config.eos is not None:
            scores -= total
            config.eos.apply(scores, self.blank)
            total = np.zeros_like(total)
        width = min(config.width, scores.shape[1])
        # None counts that is not among the `width` best; commonly few are within the threshold, but
        # a model that is at a loss has hundreds of them.
        floor = np.full((len(scores), 1), -np.inf, scores.dtype)
        if config.token_threshold is not None:
            floor = scores.max(axis=1, keepdims=True) - np.float32(config.token_threshold)
        crowded = (scores >= floor).sum(axis=1) > CROWD * width
        if crowded.any():
            best = np.partition(scores[crowded], -width, axis=1)[:, [-width]]
            floor[crowded] = np.maximum(floor[crowded], best)
        at, classes = np.divmod(np.flatnonzero(scores >= floor), scores.shape[1])
        values = scores[at, classes] - total[at, 0]
        order = np.lexsort((classes, -values, at))
        rank = np.arange(len(order)) - np.searchsorted(at, np.arange(len(scores)))[at]
        order = order[(rank < width) & (values[order] > -np.inf)]
        found: list[Candidates] = [[] for _ in scores]
        for row, candidate, value in zip(
            at[order].tolist(), classes[order].tolist(), values[order].tolist(), strict=True
        ):
            found[row].append((candidate, value))
        for row, value in enumerate((scores[:, self.blank] - total[:, 0]).tolist()):
            if all(candidate != self.blank for candidate, _ in found[row]):
                found[row].append((self.blank, value))
        return found


def _cut(paths: list[Path], last: int) -> tuple[list[Token], list[Path], int]:
    """Cut off the tokens that all paths begin with; returns them, the paths, and the new `last`."""
    shortest = min(len(path.tokens) for path in paths)
    first = paths[0].tokens
    count = 0
    while count < shortest and all(path.tokens[count].id == first[count].id for path in paths[1:]):
        count += 1
    if not count:
        return [], paths, last
    steps = [min(path.tokens[i].step for path in paths) for i in range(count)]
    final = [replace(token, step=step) for token, step in zip(first, steps, strict=False)]
    return final, [path._replace(tokens=path.tokens[count:]) for path in paths], steps[-1]


def _without_worst(paths: list[Path]) -> list[Path]:
    worst = min(range(len(paths)), key=lambda i: paths[i].mean)
    return paths[:worst] + paths[worst + 1 :]


def _oldest(paths: list[Path], step: int) -> int:
    """Return the step of the earliest token that is not final."""
    return min((path.tokens[0].step for path in paths if path.tokens), default=step)
