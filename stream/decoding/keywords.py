"""Keywords: a trie over characters that boosts hypotheses as they spell a keyword.

NUMERICS 4.4. A space in a keyword stands for the word mark, so " bridge" matches at the start of a
word only and "bridge" anywhere. Rules:

1. The edge of a character carries the sum of the boosts of all keywords through it; the node at a
   keyword's end has the terminal value boost * length.
2. The nodes that spell a suffix of the text are active, the root always. On a character every active
   node moves along its edge, which adds the edge's boost, or ends, which takes back what its path has
   gathered; the terminal values that the path has passed are earned and are not taken back.
3. What a path has gathered depends on its node alone, and the active nodes are the suffixes of the
   longest one. So the state is one integer: the longest active node (Aho and Corasick, 1975).
4. The bytes of a character count with the last of them, when the character is known
   (`stream.vocabulary`). Bytes that wait for it are part of the state, above the node's number.

A greedy decoder has no other hypothesis to return to, so there keywords choose among pieces only:
`choose`, by rule 4 of `stream.decoding.greedy`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from stream.vocabulary import WORD_MARK, Alphabet, Piece, add

ROOT = 0  # the state before any text
NODE_BITS = 32  # of a state; above them a 1 and the bytes that wait, if some do
REMEMBERED = 1 << 13  # (state, piece) pairs whose outcome is kept


class KeywordTrie:
    """Keywords of one connection, compiled for the pieces of a model.

    Args:
        keywords: boost of each keyword per character, natural log; negative to discourage it.
        pieces: `Vocabulary.spellings`.
    Raises:
        ValueError: a keyword is empty, has a boost that is not a finite number, or a character that
            no piece has, so that it could never match.
    """

    def __init__(self, keywords: Mapping[str, float], pieces: Sequence[Piece]) -> None:
        self._pieces = pieces
        self._edges: list[dict[str, int]] = [{}]
        self._boost = [0.0]  # of the edge that leads here
        self._terminal = [0.0]
        spelt = Alphabet.of(pieces if keywords else ())
        for keyword, boost in keywords.items():
            self._add(keyword, boost, spelt)
        # Boosts are sums over all keywords by now, so what a path gathers is known.
        self._gathered = [0.0] * len(self._edges)
        self._passed = [0.0] * len(self._edges)  # gathered, less what is earned on leaving
        self._shorter = [ROOT] * len(self._edges)
        self._link()
        self._outcomes: dict[tuple[int, int], tuple[float, int]] = {}

    def _add(self, keyword: str, boost: float, spelt: Alphabet) -> None:
        if not keyword.strip():
            raise ValueError(f"keyword {keyword!r} is empty; leave it out")
        if not math.isfinite(boost):
            raise ValueError(f"keyword {keyword!r}: boost is {boost}, wants a finite number")
        node = ROOT
        for character in keyword.replace(" ", WORD_MARK):
            if character not in spelt:
                raise ValueError(
                    f"keyword {keyword!r}: no piece of this model has the character {character!r}"
                )
            if character not in self._edges[node]:
                self._edges[node][character] = len(self._edges)
                self._edges.append({})
                self._boost.append(0.0)
                self._terminal.append(0.0)
            node = self._edges[node][character]
            self._boost[node] += boost
        self._terminal[node] = boost * len(keyword)

    def _link(self) -> None:
        """Set what each node has gathered, and its longest proper suffix, breadth first."""
        queue = [ROOT]
        for node in queue:
            self._passed[node] = self._gathered[node] - self._terminal[node]
            for character, child in self._edges[node].items():
                self._gathered[child] = self._passed[node] + self._boost[child]
                if node != ROOT:
                    self._shorter[child] = self._after(self._shorter[node], character)
                queue.append(child)

    def _after(self, node: int, character: str) -> int:
        """Return the longest suffix of node + character that is in the trie."""
        while node != ROOT and character not in self._edges[node]:
            node = self._shorter[node]
        return self._edges[node].get(character, ROOT)

    def advance(self, state: int, text: str) -> tuple[float, int]:
        """Return the boost of some more text, word marks for spaces, and the state after it."""
        total = 0.0
        for character in text:
            node = state
            while True:
                child = self._edges[node].get(character)
                total += -self._passed[node] if child is None else self._boost[child]
                if node == ROOT:
                    break
                node = self._shorter[node]
            state = self._after(state, character)
        return total, state

    def step(self, state: int, token: int) -> tuple[float, int]:
        """Return the boost of a token's piece, and the state after it."""
        key = (state, token)
        outcome = self._outcomes.get(key)
        if outcome is None:
            if len(self._outcomes) >= REMEMBERED:
                self._outcomes.clear()
            outcome = self._outcomes[key] = self._outcome(state, self._pieces[token])
        return outcome

    def _outcome(self, state: int, piece: Piece) -> tuple[float, int]:
        above = state >> NODE_BITS
        if isinstance(piece, str) and not above:
            return self.advance(state, piece)
        waiting = above.to_bytes(4).lstrip(b"\0")[1:]
        text, waiting = add(waiting, piece)
        node = state & ((1 << NODE_BITS) - 1)
        boost, node = self.advance(node, text.replace(" ", WORD_MARK))
        above = int.from_bytes(b"\1" + waiting) if waiting else 0
        return boost, node | above << NODE_BITS

    def choose(self, state: int, tokens: Sequence[int], scores: Sequence[float]) -> int:
        """Return the place of the piece with the largest score plus boost, the first on ties.

        Args:
            state: before the piece.
            tokens: the pieces that compete, one at least.
            scores: log-probability of each, up to a constant.
        """
        boosted = [
            score + self.step(state, token)[0] for token, score in zip(tokens, scores, strict=True)
        ]
        return boosted.index(max(boosted))
