"""Muted channels: what a run of exact zeros means, and how it divides a recording.

A line that is on hold, a microphone that is switched off and a codec that sends nothing all give
samples that are exactly zero, which no room does. Fed to a recurrent model for seconds they lead it to
where training never was, and its running statistics with it. So:

1. A channel whose last `Specification.mute_chunks` chunks were zeros throughout is muted: further
   chunks of zeros change no state and cost nothing. Tokens come some frames after their words, so the
   number is not small: 10 chunks, 0.6 s, in the bundled model. 0 means never, as in models that come
   from hardware checkpoints.
2. The first chunk with another sample begins a new segment: encoder and decoder start from their
   initial state, the statistics and the front end continue as they were.
3. A stream that ends while it is muted ends as if the chunks had not come.
4. A segment is decoded from its chunk number `Specification.sound_chunks` with sound on (1: from the
   first one; 0 too). Until then encoder and statistics run, but there is no text: a click or a beep of a
   tenth of a second out of nothing is no word. 4 chunks, 0.24 s, in the bundled model, which says no
   token of dev earlier.
5. What a stream ends with, less than a chunk, counts as a chunk, but zeros in it mute nothing that is not muted.
   The silence after the end (`stream.engine.endings`) does not count, nor do the samples before the first chunk, which
   prime a front end.

That is the same as cutting these chunks out (around a cut there are zeros on both sides, so the
front end computes the same frames) and starting again there. `Muting` has the rules, for chunks as they come.
An engine asks it about each; `unmuted` does so for a whole recording, as training and checks decode it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from stream.encoders.family import Encoder
from stream.stage import Floats, Integers, Mask

NEVER = np.iinfo(np.int64).max


class Muting:
    """What becomes of each chunk of some rows.

    Args:
        rows: how many.
        mute_chunks, sound_chunks: of the specification.
    """

    def __init__(self, rows: int, mute_chunks: int, sound_chunks: int) -> None:
        self._limit, self._needed = mute_chunks or NEVER, sound_chunks
        self._zeros = np.zeros(rows, np.int64)  # chunks of zeros in a row; beyond the limit: muted
        self._sounds = np.zeros(rows, np.int64)  # chunks with sound in a segment

    def begin(self, row: int) -> None:
        """Begin a stream in a row."""
        self._zeros[row] = self._sounds[row] = 0

    def follow(self, row: int, source: int) -> None:
        """Let a row have heard what another one has."""
        self._zeros[row], self._sounds[row] = self._zeros[source], self._sounds[source]

    def hear(self, rows: Integers, sound: Mask, *, rest: bool = False) -> tuple[Mask, Mask]:
        """Take the next chunk of some rows.

        Args:
            rows: (R,), all different.
            sound: (R,) whether one of its samples is not zero.
            rest: whether it is what their streams end with, less than a chunk.
        Returns:
            (R,) whether the chunk is computed, and (R,) whether it begins a segment.
        """
        zeros = self._zeros[rows]
        muted = zeros > self._limit
        begins: Mask = sound & muted
        self._zeros[rows] = np.where(sound, 0, zeros + 1)
        self._sounds[rows] = np.where(begins, 0, self._sounds[rows]) + sound
        return sound | (~muted if rest else zeros < self._limit), begins

    def silent(self, rows: Integers) -> Mask:
        """Return which rows are not decoded yet: too little was heard of their segments."""
        silent: Mask = self._sounds[rows] < self._needed
        return silent


@dataclass(frozen=True, slots=True)
class Segment:
    """What is decoded from a fresh state.

    Attributes:
        first: number of its first chunk among those that were kept.
        skipped: chunks that were cut out before it.
        silent: chunks from `first` on that are not decoded, or None: all of them.
    """

    first: int
    skipped: int
    silent: int | None = 0


class Part(NamedTuple):
    """A segment in frames of an encoder, of those that were kept.

    Attributes:
        begin, end: input frames, which are encoded from a fresh state.
        silent: encoder frames that are not decoded, at its beginning; of a segment with too little sound all.
        step: number in the recording, muted ones counted, of the encoder frame with which decoding begins.
    """

    begin: int
    end: int
    silent: int
    step: int


@dataclass(frozen=True)
class Unmuted:
    """A recording without what a muted channel sent.

    Attributes:
        samples: what was kept, (n,) float32.
        segments: in order; the first begins with the recording.
    """

    samples: Floats
    segments: tuple[Segment, ...]

    def parts(self, encoder: Encoder, inputs: int) -> list[Part]:
        """Return the segments in frames of an encoder, which has so many input frames of `samples` and padding."""
        found = []
        for segment, after in zip(self.segments, [*self.segments[1:], None], strict=True):
            begin = encoder.chunk_inputs * segment.first
            end = inputs if after is None else min(encoder.chunk_inputs * after.first, inputs)
            end = max(begin, end)
            silent = int(encoder.frames(end - begin))
            if segment.silent is not None:
                silent = min(encoder.chunk_frames * segment.silent, silent)
            step = encoder.chunk_frames * (segment.first + segment.skipped) + silent
            found.append(Part(begin, end, silent, step))
        return found


def unmuted(
    samples: Floats, chunk: int, mute_chunks: int, lead: int = 0, sound_chunks: int = 0
) -> Unmuted:
    """Cut the chunks that come while a channel is muted out of a recording.

    Args:
        samples: (n,) float32.
        chunk: samples of a chunk.
        mute_chunks: of the specification.
        lead: samples before the first chunk.
        sound_chunks: of the specification.
    """
    whole = max(len(samples) - lead, 0) // chunk
    chunks = samples[lead : lead + whole * chunk].reshape(whole, chunk)
    rest = samples[lead + whole * chunk :]
    sounds = np.append(chunks.any(axis=1), rest.any())
    muting, row = Muting(1, mute_chunks, sound_chunks), np.zeros(1, np.int64)
    heard = [muting.hear(row, sounds[n : n + 1], rest=n == whole) for n in range(whole + 1)]
    kept, fresh = np.array(heard)[:, :, 0].T
    begins = [0, *np.flatnonzero(fresh).tolist()]
    ends = [*begins[1:], whole + 1]
    segments = tuple(
        _segment(begin, kept, sounds[begin:end], sound_chunks)
        for begin, end in zip(begins, ends, strict=True)
    )
    if kept.all():
        return Unmuted(samples, segments)
    parts = [samples[:lead], chunks[kept[:-1]].reshape(-1), rest[: len(rest) * int(kept[-1])]]
    return Unmuted(np.concatenate(parts), segments)


def _segment(begin: int, kept: Mask, sounds: Mask, sound_chunks: int) -> Segment:
    """Return the segment that begins with a chunk of a recording, `sounds` those of its own chunks."""
    first = int(kept[:begin].sum())
    silent: int | None = 0
    if sound_chunks:
        heard = np.flatnonzero(np.cumsum(sounds) >= sound_chunks)
        silent = int(heard[0]) if heard.size else None
    return Segment(first, begin - first, silent)
