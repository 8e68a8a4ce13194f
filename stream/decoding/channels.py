"""Channel decoding: the text of an engine's slots, from the encoder frames of their rows.

It stands between the engine, which steps rows of encoder states, and the decoders. A slot has a row;
while its states are reset (`stream.decoding.overlap`) it has a second one, so with resets there are twice
as many rows as slots, and those of slot s are s and s + slots. The engine asks which rows to step, gives
those that begin the encoder's initial state, and passes their encoder frames in.

Finals are given out once and never change. The text of a token may wait for the bytes after it
(`stream.vocabulary`), across steps and resets. A beam's best hypothesis is committed where a row ends: at
an endpoint, at the end of the stream, and when a channel is muted.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from stream.backends import Backend
from stream.decoding.decoding import Decoding, Search
from stream.decoding.endpoint import NEVER, EndpointConfig, Endpointer, EndpointState
from stream.decoding.greedy import GreedyConfig, Token
from stream.decoding.hypothesis import Hypothesis
from stream.decoding.keywords import KeywordTrie
from stream.decoding.overlap import Overlap
from stream.stage import Floats, Integers, Mask
from stream.vocabulary import Vocabulary, flush, texts_of

NOBODY = np.zeros(0, np.int64)
NO_ENDPOINTS = EndpointConfig(None, None, None)


class Speech(NamedTuple):
    """The text of a slot in a step.

    Attributes:
        tokens: tokens that became final.
        texts: what each of them adds to the text.
        rest: what an incomplete character adds after them, where a segment ends.
        provisional: hypotheses of what is not final, best first.
        endpoint: whether a segment of speech ended with this step.
    """

    tokens: Sequence[Token]
    texts: Sequence[str] = ()
    rest: str = ""
    provisional: tuple[Hypothesis, ...] = ()
    endpoint: bool = False

    @property
    def text(self) -> str:
        """The text that became final."""
        return "".join(self.texts) + self.rest


SILENCE = Speech(())


class StepRows(NamedTuple):
    """The rows that a step needs.

    Attributes:
        rows: (R,) the first row of each slot, in their order, then second rows.
        owners: (R,) the place of each row's slot among the slots; None: there are no second rows.
        fresh: the rows that begin with this step, in the encoder's initial state.
    """

    rows: Integers
    owners: Integers | None
    fresh: Integers


class ChannelDecoder:
    """The decoders of an engine's slots.

    Args:
        backend: computes the model's decoder.
        decoding: how channels are decoded; None: greedy.
        slots: of the engine.
    Attributes:
        row_count: rows of encoder states that the slots need.
        eos: id of `<EOS>`, where it is decoded as such.
        muted: (slots,) whether the last step of a slot was one of a muted channel.
    """

    def __init__(
        self,
        backend: Backend,
        vocabulary: Vocabulary,
        decoding: Decoding | Search | None,
        slots: int,
    ) -> None:
        decoding = Decoding.of(decoding or GreedyConfig())
        self._slots, self._resets = slots, decoding.resets
        self.row_count = slots if decoding.resets is None else 2 * slots
        self.eos, self._rows = decoding.rows(backend, vocabulary, self.row_count)
        self._texts = vocabulary.texts_without(self.eos)
        self._waiting = [b""] * slots  # bytes of an incomplete character
        self.muted = np.zeros(slots, np.bool_)
        self._row = np.arange(slots)  # the first row, whose tokens are given out
        self._steps = np.zeros(slots, np.int64)  # encoder frames of the stream, muted ones too
        self._keywords: list[KeywordTrie | None] = [None] * slots
        self._overlaps: list[Overlap] = (
            [Overlap(decoding.resets)] * slots if decoding.resets else []
        )
        encoder = backend.specification.encoder
        self._frames = encoder.chunk_frames
        self._endpoint = Endpointer(decoding.endpoint or NO_ENDPOINTS, encoder)
        self._reports = decoding.endpoint is not None  # endpoints at all
        self._endpoints = self._endpoint.initial_state(slots)
        self._silence = np.full(slots, self._endpoint.steps(None))
        self._latest = np.full(slots, -1)  # step of the last token, final or not

    def open(self, slot: int, keywords: KeywordTrie | None = None) -> None:
        """Begin a stream in a slot."""
        self._steps[slot] = 0
        self._latest[slot] = -1
        self._waiting[slot] = b""
        self._keywords[slot] = keywords
        self._endpoints.steps[slot], self._endpoints.since[slot] = 0, NEVER
        self.resume(slot)

    def end_after(self, slot: int, silence: float | None) -> None:
        """End a slot's segments after so many seconds of silence; None: after the configured ones."""
        self._silence[slot] = self._endpoint.steps(silence)
        self._reports |= silence is not None

    def resume(self, slot: int) -> None:
        """Restart a slot's row where its stream is, as after a mute."""
        step = int(self._steps[slot])
        self.muted[slot] = False
        if self._resets is not None:
            self._overlaps[slot] = Overlap(self._resets, begun=step)
        self._rows.restart(int(self._row[slot]), step, self._keywords[slot])

    def rows(self, slots: Integers) -> Integers:
        """Return the first rows of slots, whose tokens are given out."""
        rows: Integers = self._row[slots]
        return rows

    def step_rows(self, slots: Integers) -> StepRows:
        """Return the rows that a step of some slots needs."""
        rows = self.rows(slots)
        if self._resets is None:
            return StepRows(rows, None, NOBODY)
        beside, fresh = [], []
        for place, slot in enumerate(slots.tolist()):
            overlap, step = self._overlaps[slot], int(self._steps[slot])
            if overlap.begins(step):
                fresh.append(self._other(slot))
                self._rows.restart(fresh[-1], step, self._keywords[slot])
            if overlap.second is not None:
                beside.append(place)
        if not beside:
            return StepRows(rows, None, NOBODY)
        second = (rows[beside] + self._slots) % self.row_count
        owners = np.concatenate([np.arange(len(rows)), beside])
        return StepRows(np.concatenate([rows, second]), owners, np.array(fresh, np.int64))

    def step(
        self, slots: Integers, f: Floats, of: StepRows, silent: Mask | None = None
    ) -> list[Speech]:
        """Decode the encoder frames of a chunk of every row of a step.

        Args:
            slots: (S,).
            f: (R, frames, J).
            of: the rows that the step needs.
            silent: (S,) bool, slots that say nothing yet: their decoders begin after this chunk;
                None: there are none.
        Returns:
            one `Speech` for each slot.
        """
        lengths = None
        if silent is not None:
            quiet = silent if of.owners is None else silent[of.owners]
            lengths = np.where(quiet, 0, self._frames)
        found = self._rows.step(f, of.rows, lengths)
        heard = found[: len(slots)]
        if self._resets is not None:
            second = {}
            if of.owners is not None:
                places = of.owners[len(slots) :].tolist()
                second = dict(zip(places, found[len(slots) :], strict=True))
            for place, slot in enumerate(slots.tolist()):
                heard[place] = self._joined(slot, heard[place], second.get(place, []))
        self._steps[slots] += self._frames
        if silent is not None:
            for slot in slots[silent].tolist():
                self.resume(slot)
        return self._speech(slots, heard)

    def mute(self, slot: int) -> Speech:
        """Count a step of a muted channel; the first one ends the segment."""
        tokens = [] if self.muted[slot] else self._commit(slot)
        self.muted[slot] = True
        self._steps[slot] += self._frames
        said = self._speech(np.array([slot]), [tokens])[0]
        return said._replace(rest=said.rest + self._flush(slot)) if self._waiting[slot] else said

    def finish(self, slots: Integers, f: Floats, lengths: Integers) -> list[Speech]:
        """Decode the last encoder frames of some slots and make all of them final.

        Args:
            slots: (B,).
            f: (B, T, J) of their first rows.
            lengths: (B,) frames of each that count.
        """
        found = self._rows.step(f, self.rows(slots), lengths)
        speech = []
        for slot, tokens in zip(slots.tolist(), found, strict=True):
            speech.append(self._closed(slot, self._without_duplicates(slot, tokens), []))
        return speech

    def _closed(self, slot: int, tokens: list[Token], texts: list[str]) -> Speech:
        """Commit the rest after tokens; of the first of them the texts are known."""
        tokens = tokens + self._commit(slot)
        texts = texts + self._say(slot, tokens[len(texts) :])
        return Speech(tokens, texts, self._flush(slot))

    def _say(self, slot: int, tokens: Sequence[Token]) -> list[str]:
        """Return what each of the next tokens of a slot adds to its text."""
        ids = (token.id for token in tokens)
        texts, self._waiting[slot] = texts_of(ids, self._texts, self._waiting[slot])
        return texts

    def _flush(self, slot: int) -> str:
        waiting, self._waiting[slot] = self._waiting[slot], b""
        return flush(waiting)

    def _commit(self, slot: int) -> list[Token]:
        return self._without_duplicates(slot, self._rows.commit(int(self._row[slot])))

    def _without_duplicates(self, slot: int, tokens: list[Token]) -> list[Token]:
        return self._overlaps[slot].without_duplicates(tokens) if self._overlaps else tokens

    def _other(self, slot: int) -> int:
        """Return the second row of a slot."""
        return (int(self._row[slot]) + self._slots) % self.row_count

    def _joined(self, slot: int, old: list[Token], new: list[Token]) -> list[Token]:
        """Return the tokens of a slot whose states are reset, from those of its two rows."""
        overlap, rows = self._overlaps[slot], self._rows
        tokens = overlap.without_duplicates(old)
        if overlap.second is None:
            return tokens
        first, second = int(self._row[slot]), self._other(slot)
        step = int(self._steps[slot]) + self._frames - 1  # the chunk's last
        if overlap.step(step, old, new, rows.best(first), rows.best(second)):
            last, rest = rows.commit(first), rows.commit(second)
            tokens += overlap.without_duplicates(last) + overlap.take_over(last, rest)
            self._row[slot] = second
        return tokens

    def _speech(self, slots: Integers, heard: list[list[Token]]) -> list[Speech]:
        """Add the provisional hypotheses and the endpoints."""
        texts = [
            self._say(slot, tokens) if tokens else []
            for slot, tokens in zip(slots.tolist(), heard, strict=True)
        ]
        partials = [
            self._rows.partials(row, self._waiting[slot])
            for slot, row in zip(slots.tolist(), self.rows(slots).tolist(), strict=True)
        ]
        if not self._reports:
            return [
                Speech(tokens, said, "", waiting) if tokens or waiting else SILENCE
                for tokens, said, waiting in zip(heard, texts, partials, strict=True)
            ]
        after, eos = np.full(len(slots), NEVER), np.zeros(len(slots), np.bool_)
        for place, (slot, waiting) in enumerate(zip(slots.tolist(), partials, strict=True)):
            best = waiting[0].tokens if waiting else ()
            new = [t for t in (*heard[place], *best) if t.step > self._latest[slot]]
            if new:
                # The best path of a beam may change before this chunk: that is news of now.
                behind = int(self._steps[slot]) - 1 - new[-1].step
                after[place] = min(behind, self._frames - 1)
                eos[place] = any(token.id == self._endpoint.config.eos for token in new)
                self._latest[slot] = new[-1].step
        state = EndpointState(self._endpoints.steps[slots], self._endpoints.since[slots])
        ends, counted = self._endpoint.step(after, eos, state, self._silence[slots])
        self._endpoints.steps[slots], self._endpoints.since[slots] = counted
        return [
            self._closed(slot, tokens, said)._replace(endpoint=True)
            if end
            else (Speech(tokens, said, "", waiting) if tokens or waiting else SILENCE)
            for slot, tokens, said, waiting, end in zip(
                slots.tolist(), heard, texts, partials, ends.tolist(), strict=True
            )
        ]
