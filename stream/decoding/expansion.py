"""Expansion: the transducer's hypotheses of one channel at one encoder frame.

The rules of `stream.decoding.transducer_beam`. The expansion stops where it needs the network and names the
histories, so that the network runs once for all channels.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from stream.decoding.greedy import Token
from stream.decoding.hypothesis import Candidates, Extender, Node, Path
from stream.decoding.keywords import KeywordTrie


class Limits(NamedTuple):
    """Limits of an expansion, the same for every frame.

    Attributes:
        width: most hypotheses that are kept.
        symbols_per_step: most tokens of a hypothesis in a frame.
        blank: id of blank.
    """

    width: int
    symbols_per_step: int
    blank: int


class Expansion:
    """The open and the closed hypotheses.

    Args:
        extender: extends a hypothesis by a token.
        limits: of the search.
        paths: hypotheses kept at the frame before.
        step: number of this frame.
        keywords: of the channel.
    Attributes:
        known: the candidates of each history at this frame; the caller fills in those it is asked for.
    """

    def __init__(
        self,
        extender: Extender,
        limits: Limits,
        paths: Sequence[Path],
        step: int,
        keywords: KeywordTrie | None,
    ) -> None:
        self._extender, self._limits = extender, limits
        self._step, self._keywords = step, keywords
        self._open = {path.text[0]: path._replace(symbols=0) for path in paths}
        self._closed: dict[int, Path] = {}
        self.known: dict[Node, Candidates] = {}

    def advance(self) -> list[Node]:
        """Expand until rule 4 ends it, or histories are missing in `known`; return those.

        The first of them is the next to be expanded. The others are those that complete the `width`
        closed ones if nothing new outranks them, so that they are computed in the same batch.
        """
        width = self._limits.width
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
        return tuple(ranked[: self._limits.width])

    def _expand(self, path: Path) -> None:
        full = path.symbols >= self._limits.symbols_per_step
        for token, log_probability in self.known[path.node]:
            if token == self._limits.blank:
                moved = path._replace(score=path.score + log_probability)
                earlier = self._closed.get(moved.text[0])
                if earlier is not None:
                    moved = earlier.merged(moved.score)
                self._closed[moved.text[0]] = moved
            elif not full:
                longer = self._extender.extend(
                    path, path.score, Token(token, self._step, log_probability), self._keywords
                )
                there = self._open.get(longer.text[0])
                if there is not None:
                    better, worse = (
                        (longer, there) if longer.score > there.score else (there, longer)
                    )
                    longer = better.merged(worse.score)
                self._open[longer.text[0]] = longer
