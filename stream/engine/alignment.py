"""Alignment: over which stretch of audio each word sounds.

A transducer emits the tokens of a word when it is sure of them: near the end of the word, all in one
frame or two. That says when the model knew, not when the word was said; the sound does: a word begins
and ends where the level of the channel rises and falls, near where the usual delay of the model's
tokens puts it. Boundaries are counted in log-mel frames, 10 ms; boundary b lies before frame b.

1. A frame votes for speech, from -1 to 1, by how far its level (`stream.engine.levels`) is above a threshold:
   `DROP` below the loudest frame of the word, but at least `MARGIN` above the noise floor, or halfway
   between floor and loudest where these are close. A tenth of the frames kept lie below the floor.
2. A boundary's score is `EVIDENCE` times the votes of the frames that it gives to the word, less the square
   of its distance, in units of `SPREAD`, from where the model's delay (`stream.words.WordDelay`) puts it.
   The sound moves a boundary by up to 0.3 s from there but hardly by more, so that a word does not take in
   the sound of a neighbour that the model missed. The end of a word and the start of the next are the pair
   with the highest sum: two boundaries around a pause, the same one in speech without pauses, where all
   frames vote alike and the delays decide.
3. The start of a word is settled when its first token comes; its end with the first token of the next,
   at an endpoint, at the end of the stream, or `HOLD` later. So times do not depend on how the audio
   was cut, and nothing is computed but where a word begins or ends.
4. A word begins before the last encoder frame of the chunk that its first token comes with: a frame of a long
   chunk may know of sound that follows it. Words do not overlap and lie within the audio. A word has at least
   a frame, unless more words are emitted than there are frames.
5. Within a word a token begins as long after the word as it was emitted after the first token, and
   ends where the next one begins.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from stream.encoders.family import Encoder
from stream.engine.levels import Levels
from stream.front_end.log_mel import HOP, FrontEnd
from stream.stage import Floats
from stream.words import WordDelay, group

DROP, MARGIN, WIDTH = 6.5, 1.4, 2.0  # nats of power: 28, 6 and 9 dB
FLOOR = 0.1  # quantile of the levels
EVIDENCE = 0.2  # of a vote
SPREAD = 17.0  # frames, of the delays
CORE = 45  # frames before an emission, in which the word is at its loudest
BEFORE = 90  # frames from a word's start to its first token, at most
# Frames that a word's end may lie before its last token's frame, and after the chunk of that.
EARLY, LATE = 35, 50
SHORTEST = 6  # frames of a word, where the next token leaves so many
HOLD = 600  # log-mel frames, 6 s
NEVER = np.iinfo(np.int64).max

Scores = NDArray[np.float64]


class Span(NamedTuple):
    """When something sounds: its start and end, seconds since the stream began."""

    start: float
    end: float


def word_spans(texts: Sequence[str], spans: Sequence[Span]) -> list[Span]:
    """Return when each word sounds, in the order of `stream.words.group`.

    Args:
        texts: of the tokens, as `Vocabulary.text` gives them.
        spans: of the tokens.
    """
    words = group(texts, range(len(texts)))
    return [Span(spans[word.first].start, spans[word.last].end) for word in words]


@dataclass
class _Word:
    """The word that is being said in a slot.

    Attributes:
        steps: encoder frame of each of its tokens, including those without text.
        spoken: number of tokens up to the last one with text; 0: nothing is said yet.
        first, last: encoder frames of the first and the last token with text.
        start, end: boundaries, as far as they are settled.
        whole: whether its text ends in a space.
    """

    steps: list[int] = field(default_factory=list)
    spoken: int = 0
    first: int = 0
    last: int = 0
    start: int = 0
    end: int | None = None
    whole: bool = False


class Alignment:
    """The words of an engine's slots.

    Args:
        levels: of the slots.
        delay: of the model's tokens.
        front_end: that gives the frames.
        encoder: that numbers the tokens' frames.
    Attributes:
        due: (slots,) int64, encoder frame from which on `settle` is to be called.
    """

    def __init__(
        self,
        levels: Levels,
        delay: WordDelay,
        front_end: FrontEnd,
        encoder: Encoder,
        slots: int,
    ) -> None:
        self._levels, self._delay = levels, delay
        self._encoder = encoder
        self._frames = encoder.frame_samples // HOP  # log-mel frames of an encoder frame
        # The middle of frame k is sample 160 k + window / 2, less what was padded.
        padding = 0 if front_end.lead else front_end.window - HOP
        self._shift = round((front_end.window / 2 - HOP / 2 - padding) / HOP)
        self._words = [_Word() for _ in range(slots)]
        self._ended = [0] * slots  # where the word before ended
        self.due = np.full(slots, NEVER)

    def begin(self, slot: int) -> None:
        """Begin a new stream in a slot."""
        self._words[slot] = _Word()
        self._ended[slot] = max(0, -self._shift)
        self.due[slot] = NEVER

    def add(
        self,
        slot: int,
        tokens: Sequence[tuple[str, int]],
        *,
        closes: bool,
        samples: int | None = None,
    ) -> tuple[Span, ...]:
        """Take what became final in a slot; return the spans of words that are complete with it.

        Args:
            tokens: what each adds to the text, a new word with a space before it, and its encoder
                frame, in order.
            closes: whether the last word is complete: an endpoint, or the end of the stream.
            samples: of the whole stream, if it has ended.
        Returns:
            a span of each of the first tokens that had none yet.
        """
        sound = self._sound(slot, samples)
        spans: list[Span] = []
        for text, step in tokens:
            word = self._words[slot]
            said = text.strip()
            if said and word.spoken and (word.whole or text[0] == " "):
                if word.end is None:
                    word.end, start = sound.between(word, step)
                else:
                    start = sound.start(step, word.end)
                spans += self._give(slot)
                word = self._words[slot]
                word.first, word.start = step, start
            elif said and not word.spoken:
                word.first, word.start = step, sound.start(step, self._ended[slot])
            word.steps.append(step)
            if said:
                word.spoken, word.last, word.end = len(word.steps), step, None
                self.due[slot] = step + HOLD // self._frames
            word.whole = text.endswith(" ") if text else word.whole
        if closes:
            spans += self._close(slot, sound)
        return tuple(spans)

    def settle(self, slot: int) -> None:
        """End the word of a slot whose time has come, before its sound is forgotten."""
        word = self._words[slot]
        word.end = self._sound(slot, None).end(word)
        self.due[slot] = NEVER

    def _sound(self, slot: int, samples: int | None) -> _Sound:
        first, level = self._levels.recent(slot)
        last = first + len(level)
        if samples is not None:
            last = max(first, min(last, samples // HOP - self._shift))
            level = level[: last - first]  # without the silence after the end: it is not the room's
        return _Sound(first, level, last, self._delay, self._encoder)

    def _close(self, slot: int, sound: _Sound) -> list[Span]:
        word = self._words[slot]
        if word.spoken and word.end is None:
            word.end = sound.end(word)
        return self._give(slot)

    def _give(self, slot: int) -> list[Span]:
        """Return the spans of the word of a slot, and begin the next one."""
        word = self._words[slot]
        self._words[slot] = _Word()
        self.due[slot] = NEVER
        if word.end is None:  # no token has text
            return [
                self._span(self._frames * step, self._frames * (step + 1)) for step in word.steps
            ]
        self._ended[slot] = word.end
        after = [word.start + self._frames * max(step - word.first, 0) for step in word.steps]
        starts = [min(start, word.end) for start in after[: word.spoken]]
        starts += [word.end] * (len(after) + 1 - word.spoken)
        return [self._span(*bounds) for bounds in zip(starts, starts[1:], strict=False)]

    def _span(self, start: int, end: int) -> Span:
        return Span(max(start + self._shift, 0) / 100, (end + self._shift) / 100)


class _Sound:
    """What is known of a slot's sound when a boundary is settled.

    Args:
        first: number of the first frame that is kept.
        level: (n,) of the frames from it on.
        last: boundary at the end of the audio.
        delay: of the model's tokens.
        encoder: that numbers the tokens' frames.
    """

    def __init__(
        self, first: int, level: Floats, last: int, delay: WordDelay, encoder: Encoder
    ) -> None:
        self._first, self._level, self._last = first, level, last
        self._encoder, self._frames = encoder, encoder.frame_samples // HOP
        self._starts, self._ends = 100 * delay.start, 100 * delay.end

    @functools.cached_property
    def _floor(self) -> float:
        place = int(FLOOR * len(self._level))
        return float(np.partition(self._level, place)[place])

    def start(self, step: int, ended: int) -> int:
        """Return the start of a word whose first token came at a step, `ended` or later."""
        last = max(ended, min(self._latest_start(step), self._last - 1))
        first = min(max(ended, self._frames * step - BEFORE), last)
        return first + int(self._start_scores(first, last, step).argmax())

    def end(self, word: _Word) -> int:
        """Return the end of a word that no other follows."""
        last = self._last
        first = min(self._earliest_end(word), last)
        return first + int(self._end_scores(first, last, word.last).argmax())

    def between(self, word: _Word, step: int) -> tuple[int, int]:
        """Return the end of a word and the start of the next, whose first token came at a step."""
        last = min(max(self._latest_start(step), word.start + 1), self._last - 1)
        first = min(self._earliest_end(word), last)
        ends = self._end_scores(first, last, word.last)
        starts = self._start_scores(first, last, step)
        start = int((np.maximum.accumulate(ends) + starts).argmax())
        end = int(ends[: start + 1].argmax())
        return first + end, first + start

    def _latest_start(self, step: int) -> int:
        return self._frames * (int(self._encoder.chunk_end(step)) - 1)

    def _earliest_end(self, word: _Word) -> int:
        return max(word.start + SHORTEST, self._frames * (word.last + 1) - EARLY)

    def _start_scores(self, first: int, last: int, step: int) -> Scores:
        """Return the scores of the boundaries `first` to `last` as the start of a word (rule 2)."""
        emitted = self._frames * step
        scores = -self._distances(first, last, emitted - self._starts)
        scores -= self._votes(first, last, emitted, self._latest_start(step))
        scores[: max(emitted - BEFORE - first, 0)] = -np.inf
        return scores

    def _end_scores(self, first: int, last: int, step: int) -> Scores:
        """Return the scores of the boundaries `first` to `last` as the end of a word (rule 2)."""
        emitted = self._frames * (step + 1)
        known = self._frames * int(self._encoder.chunk_end(step))
        scores = self._votes(first, last, emitted, known)
        scores -= self._distances(first, last, emitted - self._ends)
        scores[max(known + LATE + 1 - first, 0) :] = -np.inf
        return scores

    def _distances(self, first: int, last: int, expected: float) -> Scores:
        distances: Scores = np.arange(first, last + 1, dtype=np.float64)
        distances -= expected
        distances /= SPREAD
        distances *= distances
        return distances

    def _votes(self, first: int, last: int, emitted: int, known: int) -> Scores:
        """Return the votes between `first` and each boundary up to `last`, summed (rule 1).

        Args:
            emitted: boundary at the frame of the word's first or last token.
            known: boundary up to which its chunk was heard; `emitted` where a chunk is one frame.
        """
        sums = np.zeros(last - first + 1)
        begin, end = max(first - self._first, 0), min(last - self._first, len(self._level))
        if begin >= end:
            return sums  # forgotten
        since = max(min(emitted - self._first, len(self._level)) - CORE, 0)
        at = min(max(known - self._first, 1), len(self._level))
        loudest = float(self._level[min(since, at - 1) : at].max())
        floor = self._floor
        threshold = max(loudest - DROP, min(floor + MARGIN, (floor + loudest) / 2))
        votes = (self._level[begin:end] - np.float32(threshold)) * np.float32(EVIDENCE / WIDTH)
        np.minimum(votes, EVIDENCE, out=votes)
        np.maximum(votes, -EVIDENCE, out=votes)
        counted = begin + self._first - first + 1
        np.cumsum(votes, out=sums[counted : counted + len(votes)])
        sums[counted + len(votes) :] = sums[counted + len(votes) - 1]
        return sums
