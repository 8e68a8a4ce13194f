"""Beam search of the transducer, synchronous in time, over the channels of a batch (NUMERICS 4.4).

For each encoder frame the joint and the prediction network run on all hypotheses of all rows that are
to be expanded, as one batch per round; another round runs only if hypotheses that were new in it are
to be expanded, too. Rules, for each channel and frame, where those of `stream.decoding.beam` say "extends":

1. The open hypotheses are those kept at the frame before; none is closed.
2. The open hypothesis of best score is expanded by its candidates. One with `symbols_per_step` tokens of
   this frame has blank alone.
3. With blank it is closed, with a token it is open. Where its text is there already the probabilities
   add up: among closed ones the earlier entry's content stays, among open ones that of the better.
4. When none is open, or `width` closed ones score above the best open one, the `width` best closed
   ones, or of those above it, are kept; else rule 2 again.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from stream.decoding.beam import Beam, BeamState
from stream.decoding.expansion import Expansion, Limits
from stream.decoding.greedy import Token
from stream.decoding.hypothesis import Candidates, Node
from stream.stage import Floats, Integers, map_state

ROWS_AT_ONCE = 256  # of the joint
ROWS_IN_CACHE = 32  # of its logits, which are gone over several times


class TransducerBeam(Beam):
    """A beam search over a backend's joint and prediction network."""

    def _prepare(self) -> Node:
        _, start = self.backend.initial_state(1)
        root = Node(self.blank, map_state(lambda leaf: leaf[0], start))
        cap = min(self.config.symbols_per_step, self.backend.specification.token_cap)
        self._limits = Limits(self.config.width, cap, self.blank)
        self._predict([root])
        return root

    def step(
        self, f: Floats, states: Sequence[BeamState], lengths: Integers | None = None
    ) -> tuple[list[list[Token]], list[BeamState]]:
        after = list(states)
        finals: list[list[Token]] = [[] for _ in after]
        for t in range(f.shape[1]):
            frames = {}
            for row in self._live(after, lengths, t):
                paths, step, _, _, keywords = after[row]
                frames[row] = Expansion(self._extender, self._limits, paths, step, keywords)
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
        if self.config.internal_weight:
            for node, scores in zip(nodes, self._internal(g), strict=True):
                node.internal = scores

    def _internal(self, g: Floats) -> Floats:
        """Return the weighted log-probabilities (N, C) of the internal language model; blank has none."""
        logits = np.array(self.backend.join(np.zeros_like(g), g), np.float32)
        logits[:, self.blank] = -np.inf
        logits -= logits.max(axis=1, keepdims=True)
        logits -= np.log(np.exp(logits).sum(axis=1, keepdims=True))
        logits[:, self.blank] = 0.0
        return logits * np.float32(self.config.internal_weight)

    def _candidates(self, f: Floats, rows: Integers, nodes: Sequence[Node]) -> list[Candidates]:
        """Return the classes by which each history may continue, f (B, J), one row for each node."""
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
                found += self.candidates(logits[row : row + ROWS_IN_CACHE])
        return found
