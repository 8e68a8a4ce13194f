"""Beam search: what the searches of the transducer and of CTC have in common (NUMERICS 4.4).

The state of a channel is a value, `BeamState`; a step takes the states of its rows and returns new
ones, and no row's result depends on the others. How a frame extends the hypotheses is for
`stream.decoding.transducer_beam` and `stream.decoding.ctc`; both follow these rules, for each channel
and frame:

1. The candidates are the `width` best classes, by log-softmax of the logits at `temperature` and after
   the EOS rule, less those more than `token_threshold` below the best; blank always.
2. A token adds its log-probability and the terms of language models (`stream.language_model.fusion`) and keywords
   to the score.
3. Of at most `width` hypotheses, those whose score per token is more than `score_threshold` below the
   best are dropped. Where these rules say score per token, CTC uses the plain score.
4. Tokens that all hypotheses begin with are final: they are given out and removed, each with the
   earliest of its steps. If there are none and the last final is `final_delay` seconds ago, the
   hypothesis with the worst score per token is dropped, until there are or one hypothesis is left.
5. Where a token still waits `final_delay` and `GRACE` after its step, because finals trickle in, the
   same is done, so no final is later. This rule is ours; it comes after Myrtle's.
6. `commit` makes the hypothesis of best score per token final, all of it, and drops the others: at the
   end of a stream, at an endpoint, and after a terminal `<EOS>` in the hypothesis of best score. Here alone the
   last word of each counts as complete, for a language model over words.
"""

from __future__ import annotations

import functools
import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np

from stream.backends import Backend, Logits
from stream.decoding.eos import EosRule
from stream.decoding.fuzzy import fuzzy_logits
from stream.decoding.greedy import Token
from stream.decoding.hypothesis import Candidates, Extender, Hypothesis, Node, Path, log_add
from stream.decoding.keywords import KeywordTrie
from stream.errors import ArgumentError
from stream.language_model.fusion import LanguageModel
from stream.stage import Floats, Integers
from stream.vocabulary import Vocabulary, texts_of

GRACE = 0.12  # seconds after `final_delay` within which rule 4 may still do it
CROWD = 16  # times `width`: of more classes within the threshold only the best are sorted


@dataclass(frozen=True)
class BeamConfig:
    """Options of a beam search.

    Attributes:
        width: hypotheses kept.
        temperature: divisor of the logits.
        score_threshold: of rule 3, natural log per token; None: off.
        token_threshold: of rule 1, natural log; None: off.
        symbols_per_step: most tokens of a hypothesis in a frame, of a transducer; the model's specification may
            allow fewer.
        final_delay: seconds after which a final is forced; None: never.
        eos: how `<EOS>` is decoded; None: as any piece.
        fuzzy: whether logits pass `stream.decoding.fuzzy` first.
        internal_weight: of `stream.language_model.fusion.Fusion`, of a transducer.
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
    internal_weight: float = 0.0

    def __post_init__(self) -> None:
        for name in ("width", "symbols_per_step"):
            if getattr(self, name) < 1:
                raise ArgumentError(f"beam: {name} is {getattr(self, name)}, wants 1 or more")
        if not 0.0 < self.temperature < math.inf:
            raise ArgumentError(f"beam: temperature is {self.temperature}, wants a positive number")
        for name in ("score_threshold", "token_threshold", "final_delay"):
            value = getattr(self, name)
            if value is not None and not 0.0 <= value < math.inf:
                raise ArgumentError(f"beam: {name} is {value}, wants 0 or more, or None for off")


class BeamState(NamedTuple):
    """A channel between two frames.

    Attributes:
        paths: hypotheses, best score first; at least one.
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


class Beam(ABC):
    """A beam search; `step` is for each kind of decoder.

    Args:
        config: options of the search.
        ngram: language model, or None.
    Raises:
        ValueError: the config's `<EOS>` is no piece of the vocabulary.
    """

    def __init__(
        self,
        backend: Backend,
        vocabulary: Vocabulary,
        config: BeamConfig | None = None,
        ngram: LanguageModel | None = None,
    ) -> None:
        self.backend, self.vocabulary = backend, vocabulary
        self.blank = backend.specification.blank
        self._frame_seconds = backend.specification.encoder.frame_seconds
        self.config, self.ngram = config or BeamConfig(), ngram
        eos = self.config.eos
        if eos is not None and eos.id >= self.blank:
            raise ValueError(
                f"beam: eos is {eos.id}, the vocabulary has pieces 0 to {self.blank - 1}"
            )
        self._texts = vocabulary.texts_without(None if eos is None else eos.id)
        self._extender = Extender(vocabulary.spellings, ngram)
        self._root = self._prepare()

    @abstractmethod
    def _prepare(self) -> Node:
        """Prepare the search; returns the empty token history."""

    def initial_state(self, keywords: KeywordTrie | None = None, step: int = 0) -> BeamState:
        """Return the state of a channel at the start of a stream, or at `step` after a reset."""
        context = self.ngram.start if self.ngram is not None else ()
        path = Path(0.0, 1, (), self._root, context=context)
        return BeamState((path,), step, last=step, keywords=keywords)

    @abstractmethod
    def step(
        self, f: Floats, states: Sequence[BeamState], lengths: Integers | None = None
    ) -> tuple[list[list[Token]], list[BeamState]]:
        """Decode encoder frames.

        Args:
            f: (B, T, J) projected encoder frames.
            states: of the B rows before them.
            lengths: (B,) frames of each row that count; None: all.
        Returns:
            the tokens of each row that became final, and the states after its last frame.
        Raises:
            FloatingPointError: a row's scores are not finite numbers.
        """

    def rank(self, path: Path) -> float:
        """Return the number by which hypotheses compare: the score per token (rules 3 to 6)."""
        return path.mean

    def _without_worst(self, paths: list[Path]) -> list[Path]:
        worst = min(range(len(paths)), key=lambda i: self.rank(paths[i]))
        return paths[:worst] + paths[worst + 1 :]

    def _live(self, states: Sequence[BeamState], lengths: Integers | None, frame: int) -> list[int]:
        """Return the rows of which a frame counts."""
        return [
            row
            for row, state in enumerate(states)
            if not state.ended and (lengths is None or frame < lengths[row])
        ]

    def partials(self, state: BeamState, waiting: bytes = b"") -> tuple[Hypothesis, ...]:
        """Return the hypotheses of what is not final, best score per token first.

        A hypothesis without tokens is left out.

        Args:
            state: of the channel.
            waiting: bytes of an incomplete character at the end of what is final.
        """
        total = functools.reduce(log_add, (path.score for path in state.paths))
        return tuple(
            Hypothesis("".join(texts), path.tokens, path.score - total, tuple(texts))
            for path in sorted(state.paths, key=lambda path: -self.rank(path))
            if path.tokens
            for texts, _ in [texts_of((token.id for token in path.tokens), self._texts, waiting)]
        )

    def commit(self, state: BeamState) -> tuple[list[Token], BeamState]:
        """Make the best hypothesis final (rule 6); returns its tokens and the state after."""
        best = max(state.paths, key=lambda path: self.rank(self._complete(path)))
        rest = best._replace(tokens=())
        return list(best.tokens), state._replace(paths=(rest,), last=state.step)

    def _complete(self, path: Path) -> Path:
        """Return a hypothesis as it scores where the text ends with it."""
        if self.ngram is None:
            return path
        return path._replace(score=path.score + self.ngram.ending(path.context))

    def _finals(self, state: BeamState) -> tuple[list[Token], BeamState]:
        """Prune, give out what is final, and count the frame (rules 3 to 6)."""
        config, paths, step = self.config, list(state.paths), state.step
        if config.score_threshold is not None:
            floor = max(map(self.rank, paths)) - config.score_threshold
            paths = [path for path in paths if self.rank(path) >= floor]
        eos = config.eos
        terminal = eos is not None and eos.terminal and paths[0].node.token == eos.id
        tokens, paths, last = _agreed(paths, state.last)
        if config.final_delay is not None:
            waited = config.final_delay
            while len(paths) > 1 and not tokens and (step - last) * self._frame_seconds > waited:
                tokens, paths, last = _agreed(self._without_worst(paths), last)
            waited += GRACE
            while len(paths) > 1 and (step - _oldest(paths, step)) * self._frame_seconds > waited:
                more, paths, last = _agreed(self._without_worst(paths), last)
                tokens += more
        if len(paths) == 1:
            last = step
        after = state._replace(paths=tuple(paths), step=step + 1, last=last, ended=terminal)
        if terminal:
            rest, after = self.commit(after)
            tokens += rest
        return tokens, after

    def candidates(self, logits: Logits) -> list[Candidates]:
        """Return the candidates of rule 1 for each row of logits, (N, C)."""
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
        # Only the `width` best count. Commonly few classes are within the threshold, but an uncertain
        # model has hundreds of them.
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


def _agreed(paths: list[Path], last: int) -> tuple[list[Token], list[Path], int]:
    """Take off the tokens that all paths begin with; return them, the paths, and the new `last`."""
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


def _oldest(paths: list[Path], step: int) -> int:
    """Return the step of the earliest token that is not final."""
    return min((path.tokens[0].step for path in paths if path.tokens), default=step)
