"""Muted channels: what a stream of exact zeros means, and how a recording is cut by it.

A line that is on hold, a microphone that is switched off and a codec that sends nothing all give
samples that are exactly zero, which no room does. Fed to a recurrent model for seconds they lead it to
where training never was, and its running statistics with it. So:

1. A channel whose last `Specification.mute_chunks` chunks were zeros throughout is muted: further
   chunks of zeros change no state and cost nothing. Tokens come some frames after their words, so the
   number is not small: 10 chunks, 0.6 s, in the bundled model. 0 means never, as in models that come
   from hardware checkpoints.
2. The first chunk with another sample begins a new segment: encoder and decoder start from their
   initial state, the statistics and the front end go on as they were.
3. A stream that ends while it is muted ends as if the chunks had not come.

That is the same as cutting these chunks out (around a cut there are zeros on both sides, so the
front end computes the same frames) and starting afresh there. `stream.engine` does it chunk by chunk,
`cut` for a whole recording.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

__all__ = ["Cut", "Segment", "cut"]


@dataclass(frozen=True, slots=True)
class Segment:
    """What is decoded from a fresh state.

    Attributes:
        first: number of its first chunk among those that were kept.
        skipped: chunks that were cut out before it.
    """

    first: int
    skipped: int


@dataclass(frozen=True)
class Cut:
    """A recording without what a muted channel sent.

    Attributes:
        samples: what was kept, (n,) float32.
        segments: in order; the first begins with the recording.
    """

    samples: NDArray[np.float32]
    segments: tuple[Segment, ...]


def cut(samples: NDArray[np.float32], chunk: int, mute_chunks: int, lead: int = 0) -> Cut:
    """Cut the chunks that come while a channel is muted out of a recording.

    Args:
        samples: (n,) float32.
        chunk: samples of a chunk.
        mute_chunks: of the specification.
        lead: samples before the first chunk.
    """
    if mute_chunks == 0:
        return Cut(samples, (Segment(0, 0),))
    whole = max(len(samples) - lead, 0) // chunk
    chunks = samples[lead : lead + whole * chunk].reshape(whole, chunk)
    rest = samples[lead + whole * chunk :]
    kept = np.ones(whole + 1, np.bool_)  # the last is the rest
    segments = [Segment(0, 0)]
    zeros = 0  # chunks of zeros in a row
    for index, part in enumerate([*chunks, rest]):
        silent = not part.any()
        muted = index > 0 and not kept[index - 1]
        if index == whole:
            kept[index] = not (muted and silent)
        else:
            kept[index] = not (silent and zeros >= mute_chunks)
        if muted and kept[index]:
            first = int(kept[:index].sum())
            segments.append(Segment(first, index - first))
        zeros = zeros + 1 if silent else 0
    if kept.all():
        return Cut(samples, tuple(segments))
    parts = [samples[:lead], chunks[kept[:-1]].reshape(-1), rest[: len(rest) * int(kept[-1])]]
    return Cut(np.concatenate(parts), tuple(segments))
