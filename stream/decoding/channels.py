"""Channel decoding: what an engine's slots say, from the encoder frames of their rows.

Between the engine, which steps rows of encoder states, and the decoders. A slot has a row; while its
states are reset (`stream.decoding.splice`) it has a second one beside it, so with resets there are
twice as many rows as slots, and a slot's pair is s and s + slots. The engine asks which rows it has to
step, gives the initial encoder state to those that begin, and hands their encoder frames in.

What is final is given out once and never changes. Everything is committed (all that a beam still
weighs becomes final) where a row ends: at an endpoint, at the end, and when a channel is muted.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from stream.decoding.endpoint import NEVER, EndpointConfig, Endpointer, EndpointState
from stream.decoding.greedy import Token
from stream.decoding.hypothesis import Hypothesis
from stream.decoding.keywords import KeywordTrie
from stream.decoding.rows import DecoderRows
from stream.decoding.splice import ResetConfig, Splice

__all__ = ["ChannelDecoder", "Plan", "Speech"]


class Speech(NamedTuple):
    """What a slot said in a step.

    Attributes:
        tokens: that became final.
        provisional: hypotheses of what is not, best first.
        endpoint: whether a segment of speech ended with this step.
    """

    tokens: Sequence[Token]
    provisional: tuple[Hypothesis, ...] = ()
    endpoint: bool = False


class Plan(NamedTuple):
    """Which rows a step needs.

    Attributes:
        rows: (R,) int64, first one for each slot in their order, then second rows.
        owners: (R,) int64, for each row the place of its slot among the slots.
        fresh: those of the rows that begin now, from the encoder's initial state.
    """

    rows: NDArray[np.int64]
    owners: NDArray[np.int64]
    fresh: list[int]


class ChannelDecoder:
    """The decoders of an engine's slots.

    Args:
        rows: of the decoder, as many as `row_count` says.
        slots: of the engine.
        resets: when states are reset; None: never.
        endpoint: when a segment of speech ends; None: no endpoints are reported.
    """

    def __init__(
        self,
        rows: DecoderRows,
        slots: int,
        resets: ResetConfig | None = None,
        endpoint: EndpointConfig | None = None,
    ) -> None:
        self._rows, self._slots, self._resets = rows, slots, resets
        self._steps = np.zeros(slots, np.int64)  # encoder frames of the stream, muted ones too
        self._row = np.arange(slots)  # that is heard
        self._splices = [Splice(resets) for _ in range(slots)] if resets is not None else []
        self._keywords: list[KeywordTrie | None] = [None] * slots
        self._eos = endpoint.eos if endpoint is not None else None
        self._endpointer = Endpointer(endpoint) if endpoint is not None else None
        self._endpoints = Endpointer(endpoint).initial_state(slots)
        self._latest = np.full(slots, -1)  # step of the last token, final or not
        self._muted = np.zeros(slots, np.bool_)

    @staticmethod
    def row_count(slots: int, resets: ResetConfig | None) -> int:
        """Return how many rows so many slots need."""
        return slots if resets is None else 2 * slots

    def open(self, slot: int, keywords: KeywordTrie | None = None) -> None:
        """Begin a stream in a slot."""
        self._steps[slot] = 0
        self._latest[slot] = -1
        self._keywords[slot] = keywords
        self._endpoints.steps[slot], self._endpoints.since[slot] = 0, NEVER
        self._begin(slot)

    def row(self, slot: int) -> int:
        """Return the row that is heard."""
        return int(self._row[slot])

    def _begin(self, slot: int) -> None:
        """Restart the slot's row where the stream is."""
        self._muted[slot] = False
        if self._resets is not None:
            self._splices[slot] = Splice(self._resets, begun=int(self._steps[slot]))
        self._rows.restart(self.row(slot), int(self._steps[slot]), self._keywords[slot])

    def resume(self, slot: int) -> bool:
        """Return whether a slot was muted; then its row begins a new segment, in a fresh state."""
        if not self._muted[slot]:
            return False
        self._begin(slot)
        return True

    def plan(self, slots: Sequence[int]) -> Plan:
        """Return the rows that a step of some slots needs."""
        rows = self._row[slots]
        owners = np.arange(len(slots))
        if self._resets is None:
            return Plan(rows, owners, [])
        beside, fresh = [], []
        for place, slot in enumerate(slots):
            splice, step = self._splices[slot], int(self._steps[slot])
            if splice.begins(step):
                fresh.append(self._other(slot))
                self._rows.restart(fresh[-1], step, self._keywords[slot])
            if splice.second is not None:
                beside.append(place)
        second = [self._other(slots[place]) for place in beside]
        return Plan(
            np.concatenate([rows, np.array(second, np.int64)]),
            np.concatenate([owners, np.array(beside, np.int64)]),
            fresh,
        )

    def step(self, slots: Sequence[int], f: NDArray[np.float32], plan: Plan) -> list[Speech]:
        """Decode an encoder frame of every row of a plan, f (R, 1, J); one `Speech` for each slot."""
        found = self._rows.step(f, plan.rows)
        heard: list[list[Token]] = found[: len(slots)]
        if self._resets is not None:
            second = dict(zip(plan.owners[len(slots) :].tolist(), found[len(slots) :], strict=True))
            heard = [
                self._spliced(slot, tokens, second.get(place, []))
                for place, (slot, tokens) in enumerate(zip(slots, heard, strict=True))
            ]
        at = np.asarray(slots)
        self._steps[at] += 1
        return self._speech(slots, heard)

    def mute(self, slot: int) -> Speech:
        """Let a step go by that a muted channel sends; the first one ends what was being said."""
        tokens = [] if self._muted[slot] else self._commit(slot)
        self._muted[slot] = True
        self._steps[slot] += 1
        return self._speech([slot], [tokens])[0]

    def finish(self, slot: int, f: NDArray[np.float32]) -> Speech:
        """Decode the last encoder frames of a slot, (1, T, J), and make all of it final."""
        tokens: list[Token] = []
        if f.shape[1]:
            (tokens,) = self._rows.step(f, self._row[[slot]])
        if self._resets is not None:
            tokens = self._splices[slot].new(tokens)
        return Speech(tokens + self._commit(slot))

    def _commit(self, slot: int) -> list[Token]:
        tokens = self._rows.commit(self.row(slot))
        return self._splices[slot].new(tokens) if self._resets is not None else tokens

    def _other(self, slot: int) -> int:
        """Return the row of a slot that is not heard."""
        return (self.row(slot) + self._slots) % (2 * self._slots)

    def _spliced(self, slot: int, heard: list[Token], waiting: list[Token]) -> list[Token]:
        """Return what is heard of a slot whose states are reset now and then."""
        splice, rows = self._splices[slot], self._rows
        tokens = splice.new(heard)
        if splice.second is None:
            return tokens
        first, second = self.row(slot), self._other(slot)
        step = int(self._steps[slot])
        if splice.step(step, heard, waiting, rows.best(first), rows.best(second)):
            last, rest = rows.commit(first), rows.commit(second)
            tokens += splice.new(last) + splice.take_over(last, rest)
            self._row[slot] = second
        return tokens

    def _speech(self, slots: Sequence[int], heard: list[list[Token]]) -> list[Speech]:
        """Add what is provisional, and the endpoints."""
        partials = [self._rows.partials(self.row(slot)) for slot in slots]
        if self._endpointer is None:
            return [Speech(*said) for said in zip(heard, partials, strict=True)]
        at = np.asarray(slots)
        emitted, eos = np.zeros((2, len(slots)), np.bool_)
        for place, slot in enumerate(slots):
            best = partials[place][0].tokens if partials[place] else ()
            new = [t for t in (*heard[place], *best) if t.step > self._latest[slot]]
            if new:
                emitted[place] = True
                eos[place] = any(token.id == self._eos for token in new)
                self._latest[slot] = max(token.step for token in new)
        state = EndpointState(self._endpoints.steps[at], self._endpoints.since[at])
        ends, after = self._endpointer.step(emitted, eos, state)
        self._endpoints.steps[at], self._endpoints.since[at] = after
        speech = []
        for place, slot in enumerate(slots):
            if ends[place]:
                speech.append(Speech(heard[place] + self._commit(slot), (), True))
            else:
                speech.append(Speech(heard[place], partials[place]))
        return speech
