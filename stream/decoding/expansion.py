"""Pools: how the hypotheses of one channel are expanded at one encoder frame.

Rules 1 to 4 of `stream.decoding.beam`. The search stops where it needs the network and says at which
histories, so that whoever drives many channels runs it for all of them at once.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, TypeAlias

from stream.decoding.greedy import Token
from stream.decoding.hypothesis import Node, Path, text_hash
from stream.decoding.keywords import KeywordTrie
from stream.decoding.ngram import Ngram
from stream.vocabulary import Piece

__all__ = ["Candidates", "Pools", "Terms"]

Candidates: TypeAlias = list[tuple[int, float]]  # classes and log-probabilities, best first


class Terms(NamedTuple):
    """What does not change from frame to frame.

    Attributes:
        width: hypotheses that are kept.
        symbols_per_step: most tokens of a hypothesis in a frame.
        blank: id of blank.
        pieces: `Vocabulary.spellings`.
        ngram: language model, or None.
    """

    width: int
    symbols_per_step: int
    blank: int
    pieces: Sequence[Piece]
    ngram: Ngram | None


class Pools:
    """The two pools.

    Args:
        terms: of the search.
        paths: that were kept at the frame before.
        step: of this frame.
        keywords: of the channel.
    Attributes:
        known: the classes by which a history may go on at this frame.
    """

    def __init__(
        self, terms: Terms, paths: Sequence[Path], step: int, keywords: KeywordTrie | None
    ) -> None:
        self._terms, self._step, self._keywords = terms, step, keywords
        self._open = {path.text[0]: path._replace(symbols=0) for path in paths}  # A
        self._closed: dict[int, Path] = {}  # B
        self.known: dict[Node, Candidates] = {}

    def advance(self) -> list[Node]:
        """Expand until rule 4 says stop, or until histories are wanted in `known`: those.

        The first of them is the one that is expanded next. The others are what it takes to fill B if
        nothing new outranks them, so that they are asked for at once.
        """
        width = self._terms.width
        while self._open:
            best = max(self._open.values(), key=lambda path: path.score)
            above = sum(path.score > best.score for path in self._closed.values())
            if above >= width:
                break
            if best.node not in self.known:
                ranked = sorted(self._open.values(), key=lambda path: -path.score)
                wanted = dict.fromkeys(path.node for path in ranked[: width - above])
                return [node for node in wanted if node not in self.known]
            del self._open[best.text[0]]
            self._expand(best)
        return []

    def kept(self) -> tuple[Path, ...]:
        """Return the hypotheses that rule 4 keeps, best score first."""
        closed = list(self._closed.values())
        if self._open:
            best = max(path.score for path in self._open.values())
            closed = [path for path in closed if path.score > best]
        ranked = sorted(closed, key=lambda path: -path.score)
        return tuple(ranked[: self._terms.width])

    def _expand(self, path: Path) -> None:
        terms = self._terms
        full = path.symbols >= terms.symbols_per_step
        for token, log_probability in self.known[path.node]:
            if token == terms.blank:
                moved = path._replace(score=path.score + log_probability)
                earlier = self._closed.get(moved.text[0])
                if earlier is not None:
                    moved = earlier.merged(moved.score)
                self._closed[moved.text[0]] = moved
            elif not full:
                longer = self._longer(path, token, log_probability)
                there = self._open.get(longer.text[0])
                if there is not None:
                    better, worse = (
                        (longer, there) if longer.score > there.score else (there, longer)
                    )
                    longer = better.merged(worse.score)
                self._open[longer.text[0]] = longer

    def _longer(self, path: Path, token: int, log_probability: float) -> Path:
        terms = self._terms
        score, keyword, context = path.score + log_probability, path.keyword, path.context
        if terms.ngram is not None:
            term, context = terms.ngram.step(context, token)
            score += term
        if self._keywords is not None:
            term, keyword = self._keywords.step(keyword, token)
            score += term
        return Path(
            score,
            path.length + 1,
            (*path.tokens, Token(token, self._step, log_probability)),
            path.node.child(token),
            text_hash(path.text, terms.pieces[token]),
            path.symbols + 1,
            keyword,
            context,
        )
