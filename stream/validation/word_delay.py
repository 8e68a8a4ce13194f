"""The word delay: how late a model's tokens usually are, for words whose times the sound does not show.

No reference times are needed. Beside a pause, the sound shows when a word begins or ends, whatever the delay is
assumed to be (`stream.engine.alignment`); so the delay is the median over the words' edges beside pauses. How far a
pause is looked for depends on the delay, so the words are timed again with what was found until it stays the same.
"""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import msgspec

from stream.engine.alignment import word_spans
from stream.engine.emission import sounding_spans
from stream.model.specification import Specification
from stream.stage import Floats
from stream.words import WordDelay, group

FEWEST = 100  # edges; a median of fewer is unreliable
PASSES = 20  # at most; the bundled model takes 3 to 5
PAUSE = 0.025  # seconds; a shorter gap may be a stop consonant's


class Emitted(NamedTuple):
    """What a model emits in a recording, and the sound.

    Attributes:
        texts: of the tokens, a space before a new word.
        steps: the encoder frame of each.
        levels: (frames,) float32, the largest bin of each log-mel frame, nats.
    """

    texts: Sequence[str]
    steps: Sequence[int]
    levels: Floats


def word_delay(
    specification: Specification, recordings: Sequence[Emitted], fewest: int = FEWEST
) -> WordDelay | None:
    """Return the word delay with the chunks in use, or None where there are too few words.

    Args:
        fewest: edges of words beside a pause that must be found.
    """
    delay = WordDelay()
    for _ in range(PASSES):
        assumed = msgspec.structs.replace(specification, word_delay=delay)
        starts, ends = _delays(assumed, recordings)
        if min(len(starts), len(ends)) < fewest:
            return None
        before, delay = delay, WordDelay(_median(starts), _median(ends))
        if delay == before:
            break
    return delay


def _delays(
    specification: Specification, recordings: Iterable[Emitted]
) -> tuple[list[float], list[float]]:
    """Return the delays of words from their starts behind a pause, and from their ends before one."""
    seconds = specification.encoder.frame_seconds
    starts: list[float] = []
    ends: list[float] = []
    for of in recordings:
        emitted = group(of.texts, of.steps)
        spans = word_spans(of.texts, sounding_spans(specification, of.levels, of.texts, of.steps))
        ended = [-PAUSE, *(span.end for span in spans)]
        begins = [*(span.start for span in spans[1:]), float("inf")]
        for word, span, before, after in zip(emitted, spans, ended, begins, strict=False):
            if span.start >= before + PAUSE:
                starts.append(seconds * word.first - span.start)
            if after >= span.end + PAUSE:
                ends.append(seconds * (word.last + 1) - span.end)
    return starts, ends


def _median(delays: Sequence[float]) -> float:
    return round(min(max(statistics.median(delays), -2.0), 2.0), 2)
