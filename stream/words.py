"""Words and when they are emitted, from tokens: grouping, latencies (NUMERICS 4.6).

A token of encoder frame t covers [0.06 t, 0.06 (t + 1)] seconds; a word covers its tokens. When a word
*sounds* is found by `stream.engine.alignment`.
"""

from __future__ import annotations

import difflib
import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import msgspec

FRAME_SECONDS = 0.06  # of Myrtle's encoder frames (NUMERICS 4.6); a model's own are its encoder's


class WordDelay(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How late a model's tokens usually are, seconds: medians over words.

    The defaults are those of the bundled model, and hold for one that says nothing.

    Attributes:
        start: from the start of a word's sound to that of its first token's frame.
        end: from the end of its sound to that of its last token's frame; negative where the model is
            sure of a word before it is over.
    Raises:
        ValueError: a delay is not -2 to 2 s.
    """

    start: float = 0.28
    end: float = -0.05

    def __post_init__(self) -> None:
        for name, value in (("start", self.start), ("end", self.end)):
            if not abs(value) <= 2.0:
                raise ValueError(f"word_delay: {name} is {value} s, wants -2 to 2")


@dataclass(frozen=True)
class Word:
    """A word and the encoder frames of its first and last token."""

    text: str
    first: int
    last: int

    @property
    def start(self) -> float:
        """Seconds at which its first token's frame begins."""
        return FRAME_SECONDS * self.first

    @property
    def end(self) -> float:
        """Seconds at which its last token's frame ends."""
        return FRAME_SECONDS * (self.last + 1)


def group(texts: Sequence[str], steps: Sequence[int]) -> list[Word]:
    """Join tokens to words; a token whose text begins with a space begins a word.

    Args:
        texts: of the tokens, as `Vocabulary.text` gives them; tokens without text count for nothing.
        steps: encoder frame of each.
    """
    words: list[Word] = []
    open_word = False
    for text, step in zip(texts, steps, strict=True):
        if not text:
            continue
        for index, part in enumerate(text.split(" ")):
            if index:
                open_word = False
            if not part:
                continue
            if open_word:
                before = words[-1]
                words[-1] = Word(
                    before.text + part, min(before.first, step), max(before.last, step)
                )
            else:
                words.append(Word(part, step, step))
                open_word = True
    return words


def emission_latencies(
    reference: Sequence[tuple[str, float]],
    hypothesis: Sequence[tuple[str, float]],
    frame_seconds: float = FRAME_SECONDS,
) -> list[float]:
    """Return how late each word that both agree on ended, seconds.

    Args:
        reference, hypothesis: words with their end times, in order.
        frame_seconds: of an encoder frame, half of which is not latency.
    """
    matcher = difflib.SequenceMatcher(
        None, [word for word, _ in reference], [word for word, _ in hypothesis], autojunk=False
    )
    return [
        hypothesis[j + k][1] - reference[i + k][1] - frame_seconds / 2
        for i, j, size in matcher.get_matching_blocks()
        for k in range(size)
    ]


def percentile(values: Iterable[float], percent: float) -> float:
    """Return the value at place int(n percent / 100) of the sorted values; 50 is the median."""
    ordered = sorted(values)
    if percent == 50:
        return statistics.median(ordered)
    return ordered[min(int(len(ordered) * percent / 100), len(ordered) - 1)]
