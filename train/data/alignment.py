"""Times of a transcript's words, from those of an aligner, which may spell them otherwise.

A word of the transcript has the times of the aligner's word in its place; words that it leaves out, or has otherwise,
have none.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Sequence

from stream.ctm import CtmWord
from train.data.records.words import TimedWord


def timed_words(
    text: str, heard: Sequence[CtmWord], rule: Callable[[str], str] = str
) -> tuple[TimedWord, ...]:
    """Return the words of a transcript, with the times of those that the aligner has.

    Args:
        text: transcript.
        heard: the aligner's words, with their times.
        rule: brings a word to the aligner's spelling; it may make several of it, or none.
    """
    words = text.split()
    spelt = [rule(word).split() for word in words]
    said = [word.text for word in heard]
    matcher = difflib.SequenceMatcher(None, sum(spelt, []), said, autojunk=False)
    of: dict[int, CtmWord] = {}  # place of a spelt word -> when it sounds
    for place, other, size in matcher.get_matching_blocks():
        of |= {place + n: heard[other + n] for n in range(size)}
    found, begin = [], 0
    for word, parts in zip(words, spelt, strict=True):
        end = begin + len(parts)
        first, last = of.get(begin), of.get(end - 1)
        if parts and first is not None and last is not None:
            found.append(TimedWord(word, round(first.start, 3), round(last.end, 3)))
        else:
            found.append(TimedWord(word))
        begin = end
    return tuple(found)
