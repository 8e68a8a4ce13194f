"""Recordings as encoder frames: computed once, decoded many times.

The frames are those that an engine decodes, of streams that start from the data set's statistics: front end, normaliser,
mutes and the silence after the end are its own. What is decoded from them is what `rill validate --reset-stats` hears.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from stream.backends import Backend
from stream.decoding.decoding import Decoding
from stream.decoding.greedy import Token
from stream.decoding.keywords import KeywordTrie
from stream.decoding.rows import DecoderRows
from stream.engine.engine import Engine
from stream.engine.streams import Progress, Streams
from stream.model.network import Network
from stream.stage import Floats, Integers
from stream.validation.spoken import Spoken
from stream.vocabulary import Vocabulary, flush, texts_of

SLOTS = 16  # recordings encoded side by side
AT_ONCE = 128  # segments decoded side by side


@dataclass(frozen=True)
class Encoded:
    """Some recordings.

    Attributes:
        segments: (frames, J) of each stretch between mutes, recording by recording.
        owners: the recording of each.
        count: recordings.
    """

    segments: Sequence[Floats]
    owners: Sequence[int]
    count: int

    def transcripts(
        self,
        backend: Backend,
        vocabulary: Vocabulary,
        decoding: Decoding,
        keywords: Mapping[str, float] | None = None,
    ) -> list[str]:
        """Return what is heard in each recording.

        Args:
            backend: computed the frames, and decodes them.
            decoding: without endpoints but `<EOS>`.
            keywords: boost of each keyword per character.
        """
        trie = KeywordTrie(keywords, vocabulary.spellings) if keywords else None
        eos, rows = decoding.rows(backend, vocabulary, AT_ONCE)
        pieces = vocabulary.texts_without(eos)
        heard: list[list[Token]] = [[] for _ in self.segments]
        by_length = sorted(range(len(self.segments)), key=lambda i: len(self.segments[i]))
        for begin in range(0, len(by_length), AT_ONCE):
            block = by_length[begin : begin + AT_ONCE]
            lengths = np.array([len(self.segments[i]) for i in block])
            width = self.segments[block[0]].shape[1]
            f = np.zeros((len(block), int(lengths.max(initial=0)), width), np.float32)
            for row, i in enumerate(block):
                f[row, : lengths[row]] = self.segments[i]
                rows.restart(row, 0, trie)
            for row, tokens in enumerate(rows.step(f, np.arange(len(block)), lengths)):
                heard[block[row]] = tokens + rows.commit(row)
        texts = [""] * self.count
        for owner, tokens in zip(self.owners, heard, strict=True):
            said, waiting = texts_of((token.id for token in tokens), pieces)
            texts[owner] += "".join(said) + flush(waiting)
        return [text.strip() for text in texts]


def encode(
    network: Network,
    recordings: Sequence[Spoken],
    backend: Backend,
    progress: Progress | None = None,
) -> Encoded:
    """Return the encoder frames of recordings.

    Args:
        progress: called with (recordings done, recordings).
    """
    slots = min(SLOTS, max(len(recordings), 1))
    kept = _Kept(slots)
    engine = Engine(network, backend, slots, _Keeping(kept=kept))
    found: list[tuple[int, Floats]] = []
    of: dict[int, int] = {}  # slot -> recording

    def begin(slot: int) -> None:
        finish(slot)
        engine.restart(slot, keep_statistics=False)
        of[slot] = len(started)
        started.append(slot)

    def finish(slot: int) -> None:
        if (number := of.pop(slot, None)) is not None:
            found.extend((number, segment) for segment in kept.take(slot))

    started: list[int] = []
    piece = engine.chunk_samples
    Streams(engine, begin).run([recording.read for recording in recordings], piece, progress)
    for slot in list(of):
        finish(slot)
    found.sort(key=lambda pair: pair[0])  # stable: the segments of a recording stay in their order
    return Encoded(
        [segment for _, segment in found], [number for number, _ in found], len(recordings)
    )


class _Kept(DecoderRows):
    """Rows that keep encoder frames and say nothing."""

    def __init__(self, rows: int) -> None:
        self._segments: list[list[list[Floats]]] = [[] for _ in range(rows)]

    def restart(self, row: int, step: int = 0, keywords: KeywordTrie | None = None) -> None:
        self._segments[row].append([])

    def step(self, f: Floats, rows: Integers, lengths: Integers | None = None) -> list[list[Token]]:
        for place, row in enumerate(rows.tolist()):
            frames = f[place] if lengths is None else f[place, : lengths[place]]
            if len(frames):
                self._segments[row][-1].append(frames.copy())
        return [[] for _ in rows]

    def take(self, row: int) -> list[Floats]:
        """Return the frames of each segment of a row, and forget them."""
        segments = [np.concatenate(frames) for frames in self._segments[row] if frames]
        self._segments[row] = []
        return segments


@dataclass(frozen=True)
class _Keeping(Decoding):
    kept: _Kept = field(default_factory=lambda: _Kept(1))

    def rows(
        self, backend: Backend, vocabulary: Vocabulary, count: int
    ) -> tuple[int | None, DecoderRows]:
        return None, self.kept
