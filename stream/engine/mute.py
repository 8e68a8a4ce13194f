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

That is the same as cutting these chunks out (around a cut there are zeros on both sides, so the
front end computes the same frames) and starting again there. `stream.engine.engine` does it chunk by chunk,
`unmuted` for a whole recording.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from stream.stage import Floats, Mask


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


@dataclass(frozen=True)
class Unmuted:
    """A recording without what a muted channel sent.

    Attributes:
        samples: what was kept, (n,) float32.
        segments: in order; the first begins with the recording.
    """

    samples: Floats
    segments: tuple[Segment, ...]


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
    kept = np.ones(whole + 1, np.bool_)  # the last is the rest
    begins = [0]  # chunks with which segments begin
    zeros = 0  # chunks of zeros in a row
    for index, sound in enumerate(sounds.tolist()):
        muted = index > 0 and not kept[index - 1]
        if mute_chunks:
            kept[index] = sound or (not muted if index == whole else zeros < mute_chunks)
        if muted and kept[index]:
            begins.append(index)
        zeros = 0 if sound else zeros + 1
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
